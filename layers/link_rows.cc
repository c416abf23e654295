#include "layers/link_rows.h"

#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

// Calls f(b, rows of request b).
template <typename V, typename F>
void for_each_request(const V& pairs, int64_t requests, F f) {
  const int64_t links = requests > 0 ? pairs.rows() / requests : 0;
  for (int64_t b = 0; b < requests; ++b) f(b, pairs.slice_rows(b * links, (b + 1) * links));
}

// Of pairs of `links` links with how many requests.
int64_t requests_of(const ConstView& pairs, int64_t links) {
  LIME_CHECK(links > 0 && pairs.rows() % links == 0, pairs.rows(), " rows of ", links, " links");
  return pairs.rows() / links;
}

}  // namespace

void add_request_rows(Context& ctx, const ConstView& links, const ConstView& requests, View y) {
  check_shape(ctx, links, links.rows(), y.cols(), "links");
  check_shape(ctx, requests, requests.rows(), y.cols(), "requests");
  check_shape(ctx, y, links.rows() * requests.rows(), y.cols(), "links of requests");
  dispatch(
      ctx, "add_request_rows",
      [&](auto) {
        for_each_request(y, requests.rows(), [&](int64_t b, const View& rows) {
          copy(ctx, links, rows);
          add_bias(ctx, requests.slice_rows(b, b + 1), rows);
        });
      },
      [&] { cuda::add_request_rows(ctx, links, requests, y); });
}

void add_links(Context& ctx, const ConstView& links, View y) {
  check_shape(ctx, links, links.rows(), y.cols(), "links");
  check_shape(ctx, y, y.rows(), y.cols(), "links of requests");
  const int64_t requests = requests_of(y, links.rows());
  dispatch(
      ctx, "add_links",
      [&](auto) { for_each_request(y, requests, [&](int64_t, const View& rows) { add(ctx, links, rows); }); },
      [&] { cuda::add_links(ctx, links, y); });
}

void sum_over_requests(Context& ctx, const ConstView& dy, View dlinks) {
  check_shape(ctx, dy, dy.rows(), dlinks.cols(), "gradient of links of requests");
  check_parameter(ctx, dlinks, dlinks.rows(), dy.cols(), "gradient of links");
  LIME_CHECK(dlinks.contiguous(), "gradient of links with stride ", dlinks.stride());
  const int64_t requests = requests_of(dy, dlinks.rows());
  dispatch(
      ctx, "sum_over_requests",
      [&](auto) {
        for_each_request(dy, requests, [&](int64_t, const ConstView& rows) { add(ctx, rows, dlinks); });
      },
      [&] { cuda::sum_over_requests(ctx, dy, dlinks); });
}

void sum_over_links(Context& ctx, const ConstView& dy, View drequests) {
  const int64_t requests = drequests.rows();
  check_shape(ctx, dy, dy.rows(), drequests.cols(), "gradient of links of requests");
  check_shape(ctx, drequests, requests, dy.cols(), "gradient of requests");
  LIME_CHECK(requests == 0 ? dy.rows() == 0 : dy.rows() % requests == 0, dy.rows(), " rows of ", requests,
             " requests");
  dispatch(
      ctx, "sum_over_links",
      [&](auto) {
        for_each_request(dy, requests, [&](int64_t b, const ConstView& rows) {
          column_sum(ctx, rows, GradMode::overwrite, drequests.slice_rows(b, b + 1));
        });
      },
      [&] { cuda::sum_over_links(ctx, dy, drequests); });
}

}  // namespace lime
