#include "embeddings/bucket_order.h"

#include "embeddings/embedding_collection.h"

namespace lime {

// One stable counting sort by `digit`, which is below `values`.
template <typename Digit>
void BucketOrder::pass(Digit digit, size_t values) {
  counts_.assign(values + 1, 0);
  for (const Key& key : keys_) ++counts_[digit(key) + 1];
  for (size_t v = 1; v <= values; ++v) counts_[v] += counts_[v - 1];
  other_.resize(keys_.size());
  for (const Key& key : keys_) other_[counts_[digit(key)]++] = key;
  keys_.swap(other_);
}

void BucketOrder::sort(std::span<const int64_t> ids) {
  constexpr int digit_bits = 11;
  constexpr uint64_t digit_mask = (uint64_t{1} << digit_bits) - 1;
  keys_.clear();
  uint64_t any = 0;
  for (const int64_t id : ids) {
    any |= static_cast<uint64_t>(id);
    keys_.push_back(
        {static_cast<uint64_t>(id), static_cast<int32_t>(bucket_of(id)), static_cast<int32_t>(keys_.size())});
  }
  for (int shift = 0; shift < 64 && any >> shift != 0; shift += digit_bits) {
    if ((any >> shift & digit_mask) == 0) continue;
    pass([shift](const Key& key) { return static_cast<size_t>(key.id >> shift & digit_mask); },
         digit_mask + 1);
  }
  pass([](const Key& key) { return static_cast<size_t>(key.bucket); }, static_cast<size_t>(virtual_buckets));
}

}  // namespace lime
