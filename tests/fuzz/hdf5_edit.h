// HDF5 files whose numbers are wrong: changes to a whole file that HDF5's own checksums do not find, since it
// is HDF5 that makes them.
#pragma once

#include <string>

#include "tests/fuzz/fuzz_target.h"

namespace lime::fuzz {

// The bytes of a copy of `whole` with changes: numbers of columns, columns that are of another shape (of 2^60
// rows), of another type, without values or gone, and attributes that are other numbers, lists or gone.
std::string edited(const std::string& whole, Input& changes);
// One change: the `number` in row `row` of the column that is number `column` in order of names.
std::string number_at(uint8_t column, uint8_t row, uint8_t number);
// An empty column of rows x columns in the place of one.
std::string reshaped(uint8_t column, uint8_t type, uint8_t rows, uint8_t columns);

// A file as the input says: the first byte chooses damage to its bytes (fuzz_target.h) or `edited`.
std::string changed_file(const std::string& whole, Input& changes);
constexpr char by_bytes = 0, by_hdf5 = 1;

}  // namespace lime::fuzz
