#include "serving/build_item_cache.h"

#include <algorithm>

#include "runtime/error.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

constexpr int64_t block_items = most_rows_alike;  // computed at a time: alike, whatever their number

// The ids of the table that candidates' items are looked up in.
std::vector<int64_t> trained_items(const ServedModel& model) {
  const auto& tables = model.network().tables();
  const std::string name = table_of(model.config().embeddings, "item");
  for (size_t t = 0; t < tables.tables().size(); ++t) {
    if (tables.tables()[t].name != name || tables.tables()[t].capacity > 0) continue;
    std::vector<int64_t> ids;
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows rows = tables.bucket_rows(static_cast<int64_t>(t), bucket);
      ids.insert(ids.end(), rows.ids.begin(), rows.ids.end());
    }
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  throw UserError(
      str(model.dataset().directory(),
          ": has no items.h5, and the model keeps no row for each item; name the items with --items"));
}

}  // namespace

std::string items_file(const ServedModel& model, const std::string& items) {
  return items.empty() ? model.dataset().items_path() : items;
}

std::vector<int64_t> items_to_cache(const ServedModel& model, const std::string& items) {
  if (items.empty() && model.dataset().items() == 0) return trained_items(model);
  return read_item_ids(items_file(model, items));
}

std::string features_digest(const ItemFeatures& features, std::span<const int64_t> ids) {
  constexpr size_t at_a_time = 4096;  // offsets begin anew with each: another number gives other digests
  Digest digest;
  for (size_t first = 0; first < ids.size(); first += at_a_time) {
    const FeatureColumns columns =
        features.columns(ids.subspan(first, std::min(at_a_time, ids.size() - first)));
    for (const IdColumn& column : columns.id_columns) {
      digest.add(std::span(column.offsets));
      digest.add(std::span(column.ids));
    }
    digest.add(std::span(columns.real));
  }
  return digest.hex();
}

void build_item_cache(const ServedModel& model, std::span<const int64_t> ids, const std::string& items,
                      RowType type, const std::string& out, const CacheProgress& progress) {
  const std::string& name = model.config().model.name;
  if (!CachedScoring::supports(name))
    throw UserError(str("model ", name,
                        " cannot be cached: its candidates meet the history itself; lime_mha and lime_xor "
                        "can (lime score works without a cache)"));
  const ItemFeatures features(model.dataset().schema(), model.config().features, items_file(model, items));
  const ServedModel::Session session(model);
  CachedScoring& cached = session->cached();
  ItemCacheWriter writer(out,
                         {model.checkpoint(), model.checkpoint_xxh3(), name, type, cached.weights(),
                          cached.hidden(), items.empty() ? features_digest(features, ids) : ""},
                         ids);
  const auto count = static_cast<int64_t>(ids.size());
  for (int64_t first = 0; first < count; first += block_items) {
    Context& ctx = session->context();
    ctx.arena().reset();
    const int64_t n = std::min(block_items, count - first);
    const View input = ctx.alloc(n, model.network().input_width(Network::Group::candidate)),
               rows = ctx.alloc(n, cached.columns());
    model.network().read_input(
        Network::Group::candidate,
        features.columns(ids.subspan(static_cast<size_t>(first), static_cast<size_t>(n))), input);
    cached.item_rows(ctx, input, rows);
    writer.write(first, rows);
    if (progress) progress(first + n, count);
  }
  writer.finish();
}

}  // namespace lime
