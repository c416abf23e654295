#include "io/yaml_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string refused(const std::string& text, bool lines = true) {
  return user_error([&] { load_yaml(text, "x.yaml", lines); });
}

TEST(YamlDocument, IsOneTree) {
  EXPECT_TRUE(load_yaml("", "x.yaml").IsNull());
  EXPECT_TRUE(load_yaml("# nothing\n", "x.yaml").IsNull());
  EXPECT_EQ(load_yaml("---\na: {b: [1, 2]}\n...\n", "x.yaml")["a"]["b"][1].as<int>(), 2);
  EXPECT_EQ(load_yaml("a: &name {b: 3}\nc: *name\nd: *name\n", "x.yaml")["d"]["b"].as<int>(), 3);
}

TEST(YamlDocument, AliasesWithoutEndAreRefused) {
  EXPECT_THAT(refused("a: 1\nb: &b {c: *b}\n"), StartsWith("x.yaml:2: found more than 64 levels"));
  EXPECT_THAT(refused("b: &b [*b]\n"), StartsWith("x.yaml:1: found more than 64 levels"));
  // Of a long text many values are expected: it is the levels that end this.
  EXPECT_THAT(refused("b: &b {c: *b}\n#" + std::string(1'000'000, 'x')), HasSubstr("more than 64 levels"));
  std::string text = "a0: &a0 {k: 1}\n";
  for (int i = 1; i < 20; ++i)
    text += str("a", i, ": &a", i, " {k: *a", i - 1, ", l: *a", i - 1, ", m: *a", i - 1, "}\n");
  EXPECT_THAT(refused(text), HasSubstr("found aliases that make"));
}

TEST(YamlDocument, AliasesMayRepeatAFewThousandValues) {
  const auto text = [](int times) {
    std::string all = "a: &a [0";
    for (int i = 1; i < 100; ++i) all += ",0";
    all += "]\nb: [*a";
    for (int i = 1; i < times; ++i) all += ",*a";
    return all + "]\n";
  };
  EXPECT_EQ(load_yaml(text(90), "x.yaml")["b"][89].size(), 100u);  // 9,193 values of 485 bytes
  EXPECT_THAT(refused(text(130)), StartsWith("x.yaml:1: found aliases that make"));  // 13,233 of 605
}

TEST(YamlDocument, WhatIsBehindADocumentIsNotPassedOver) {
  EXPECT_THAT(refused("a: 1\n---\nb: 2\n"), StartsWith("x.yaml:2: found more behind the document's end"));
  EXPECT_THAT(refused(",a"), HasSubstr("found more behind the document's end"));
  EXPECT_THAT(refused("a: 1\n---\nb: [\n"), StartsWith("x.yaml:4: not valid YAML"));
}

TEST(YamlDocument, KeysAreWordsAndDiffer) {
  EXPECT_THAT(refused("a:\n  ? [b]\n  : c\n"), StartsWith("x.yaml:2: found a list, a map or nothing"));
  EXPECT_EQ(refused("a:\n  b: 1\n  c: 2\n  b: 3\n"), "x.yaml:4: duplicate key 'a.b' (first on line 2)");
  EXPECT_EQ(refused("[{b: 1}, {c: 2, c: 3}]"), "x.yaml:1: duplicate key '1.c' (first on line 1)");
  EXPECT_EQ(refused("{b: 1, b: 3}", false), "x.yaml: duplicate key 'b'");
  EXPECT_THAT(refused("a: [\n"), StartsWith("x.yaml:2: not valid YAML: "));
}

}  // namespace
}  // namespace lime
