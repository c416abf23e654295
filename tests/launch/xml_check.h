// A strict little reader of XML, for tests of what charts and reports write: tags, attributes and texts, in
// order.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace lime {

struct XmlElement {
  std::string name, text;  // text directly within, entities resolved
  std::map<std::string, std::string> attributes;
  std::vector<std::string> ancestors;  // from the root
  bool has_class(const std::string& name) const;
  double number(const std::string& attribute) const;
};

// Elements in the order of their opening tags. Throws Error ("line 3: ...") at what is not well-formed: tags
// that do not match, unquoted or repeated attributes, unknown entities, bare < or &, more than one root.
// `<!DOCTYPE html>` may come first; the content of <style> is text.
std::vector<XmlElement> parse_xml(const std::string& text);

std::vector<XmlElement> with_class(const std::vector<XmlElement>&, const std::string& name);

}  // namespace lime
