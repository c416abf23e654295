// MovieLens (100K `u.data`, 1M `ratings.dat`, 20M/25M/32M `ratings.csv`) and files of the same forms
// (MovieTweetings) -> dataset. Every rating becomes an event and a request with one candidate. The form is
// told from the first line.
//
//   event      item, rating (id: round(2 * rating))
//   request    (nothing beyond user and time); days in `time_zone`, or months or years under their first day
//   label      liked = rating >= threshold;   weight  rating
//   user       gender, age_group, occupation (with a users file)
//   item       genres, any number, names hashed (with a movies file)
#pragma once

#include <cstdint>
#include <string>

#include "io/dataset_writer.h"
#include "io/import_report.h"

namespace lime {

struct MovieLensOptions {
  std::string ratings;  // u.data | ratings.dat | ratings.csv
  std::string users;    // users.dat (1M) or u.user (100K), or ""
  std::string movies;   // movies.dat (ISO-8859-1), movies.csv or u.item, or ""
  std::string out;      // dataset directory
  std::string name = "movielens";
  double threshold = 4.0;            // ratings at or above it are liked; MovieTweetings rates 0..10
  std::string time_zone = "+00:00";  // of the days
  // day | month | year: ratings are filed under its first day. Logs of many years make a file for each part
  // and day: 20M and later want month.
  std::string period = "day";
  WriterOptions writer;
  int64_t max_bad_rows = 0;  // rows that may be left out, of all files together
};

// Throws UserError as import_kuairand does.
ImportReport import_movielens(const MovieLensOptions&);

}  // namespace lime
