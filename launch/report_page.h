// Reports as pages that refer to nothing outside of them: inline SVG, light or dark as the reader's system
// is. They are well-formed XML, too.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lime {

struct ReportFigure {
  std::string svg, caption;  // svg: for inside of a page (launch/chart.h)
};

std::string figures_html(const std::vector<ReportFigure>&);

// `facts` stand below the title, name and value; `body` is HTML: sections with h2, p, tables in .card.wide,
// figures.
std::string report_page(const std::string& title,
                        const std::vector<std::pair<std::string, std::string>>& facts,
                        const std::string& body);

// "2022-05-05..2022-05-08 (4 days)"
std::string days_text(const std::vector<std::string>& days);

}  // namespace lime
