// What is refused, or said, before a run begins. Everything is known on every rank: none is collective.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "launch/batch_source.h"
#include "model/config.h"

namespace lime {

// Throws UserError naming the key that does not fit the number of ranks, the dataset's days or other keys.
void check_training(const Config&, const Dataset&, int64_t ranks);

// Of a run that is resumed: throws UserError where the configuration would forget days that it was trained
// on, or its first weights.
void refuse_changes(const Config&, const Dataset&, const std::string& run_directory);

// A note where days of data.train, or those that first weights have seen, are later than a held-out day.
std::optional<std::string> note_on_later_days(const Config&, const Dataset&);

// Where the loss does not count each row once: what data.keep_negatives leaves of the training days, and
// tasks with sample weights. A line each.
std::vector<std::string> notes_on_weights(const Config&);

// A note where candidates have features that are no property of the item: such a run can be evaluated, and
// not served item by item.
std::optional<std::string> note_on_serving(const Config&, const DatasetSchema&);

// Of the whole run: those of all epochs, or train.max_steps where these are fewer.
int64_t planned_steps(const TrainConfig&, const BatchSource&);

}  // namespace lime
