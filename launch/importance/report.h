// What features are worth, for people and programs. Equal results give equal text.
#pragma once

#include <string>

#include "launch/importance/importance.h"

namespace lime {

// For the terminal: a table a task.
std::string to_text(const ImportanceResult&);
// Every number; what is not defined is null.
std::string to_json(const ImportanceResult&);
// A page that refers to nothing outside of it (launch/report_page.h): a chart and a table a task.
std::string to_html(const ImportanceResult&);

}  // namespace lime
