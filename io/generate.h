// Synthetic logs of any size with a planted signal: the best reachable AUC is known by construction.
//
// Items have one of `topics` topics (stored: item column `topic`) and a quality q (not stored); users like
// half of the topics (not stored) and belong to a segment (stored: user column `segment`) with a bias g. An
// event of a user shows a topic, and in it an item by a power law; its action is click (1) where the user
// likes the topic, else skip (0), flipped with probability `action_noise`. For a candidate of topic k shown
// after a history of n events, of which c of topic k were clicked and s skipped,
//
//   P(click = 1) = sigmoid(bias + g + q + interest * tanh(evidence * topics * (c - s) / n))
//
// rounded to 2^-16. Labels are independent draws, so P itself has the best expected AUC (`bayes_auc`), and
// the best score that does not read the history is bias + g + q (`no_history_auc`). What matters is which
// topics were clicked: how often a topic occurs and how many clicks there are say next to nothing, so a model
// that averages tokens linear in (item, action) cannot learn it, and one that attends to the history can.
// Learning the conjunction takes tables that tell topics and actions apart from the start: in trials with
// embeddings.init_std 1 it began after some 400 steps, with 0.05 and 0.2 it had not after 500 to 900.
//
// Dataset: event column `action` (id), item column `topic` (id), request column `hour` (id), user column
// `segment` (id), label `click`, weight `watch_time` (seconds, more after a click). Histories begin before
// the first day and, unless history_length is set, go on between requests. Streams through DatasetWriter, one
// user at a time; the same options give the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/dataset_writer.h"
#include "io/import_report.h"

namespace lime {

struct GenerateOptions {
  std::string out;  // dataset directory
  std::string name = "synthetic";
  uint64_t seed = 1;

  int64_t users = 30000;
  int64_t items = 1000;
  int64_t days = 4;                      // the last is meant to be held out
  std::string first_day = "2024-01-01";  // in UTC
  int64_t requests_per_user_per_day = 1;
  int64_t candidates = 8;  // of each request

  int64_t history_min = 20;  // events before the first day: a power law between min and max
  int64_t history_max = 60;
  double history_mean = 32;            // decides the power law's exponent
  int64_t history_length = 0;          // > 0: exactly so many events before every request, none between
  double events_per_user_per_day = 2;  // events between requests, on average

  int64_t topics = 8;          // even
  double exposure = 0.5;       // share of events in liked topics; 0.5: how often a topic occurs says nothing
  double item_exponent = 0.8;  // popularity within a topic ~ rank^-exponent; 0: uniform
  double action_noise = 0.1;   // an event's action says the opposite
  // Only events further back than this from the first request carry the signal; later actions are coin flips
  // and do not count.
  int64_t signal_lag = 0;
  double bias = -0.5;
  double interest = 2.0;      // strength of the planted signal
  double evidence = 1.5;      // how fast it saturates
  double item_quality = 0.5;  // standard deviation of q
  double user_bias = 0.3;     // standard deviation of g over the 8 segments

  WriterOptions writer;
};

struct GenerateReport : ImportReport {  // rows = bytes = 0
  std::vector<std::string> day_names;
  std::vector<double> day_bayes_auc;  // by day; facts bayes_auc_<day>
  double bayes_auc = 0;               // of the last day; facts bayes_auc, no_history_auc
  double no_history_auc = 0;
};

// Throws UserError naming the option that is out of range.
GenerateReport generate(const GenerateOptions&);

}  // namespace lime
