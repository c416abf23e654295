#include "layers/link_context.h"

#include "layers/dispatch.h"
#include "layers/link_rows.h"
#include "runtime/trace.h"

namespace lime {

LinkContext::LinkContext(ParameterStore& store, const std::string& name, int64_t links, int64_t width,
                         int64_t user_features)
    : links_(links),
      width_(width),
      user_features_(user_features),
      mlp_(store, name, width + user_features, width, width, Init::zeros) {}

void LinkContext::forward(Context& ctx, const ConstView& l, const ConstView& user, View lc) {
  const TraceRange range(ctx, "link_context");
  const int64_t requests = user.rows();
  check_shape(ctx, l, links_, width_, "links");
  check_shape(ctx, user, requests, user_features_, "user");
  check_shape(ctx, lc, requests * links_, width_, "contextualised links");
  l_ = l, user_ = user;
  View hidden = ctx.alloc(requests * links_, mlp_.hidden());
  {
    const Arena::Scope scope(ctx.arena());
    View l_part = ctx.alloc(links_, mlp_.hidden()), u_part = ctx.alloc(requests, mlp_.hidden());
    mlp_.add_part(ctx, 0, l, GradMode::overwrite, l_part);
    mlp_.add_part(ctx, width_, user, GradMode::overwrite, u_part);
    add_request_rows(ctx, l_part, u_part, hidden);
  }
  mlp_.finish(ctx, hidden, lc);
  add_links(ctx, l, lc);
}

void LinkContext::backward(Context& ctx, const ConstView& dlc, View dl, View duser) {
  const TraceRange range(ctx, "link_context_backward");
  const Arena::Scope scope(ctx.arena());
  const int64_t requests = user_.rows();
  check_shape(ctx, dlc, requests * links_, width_, "gradient of contextualised links");
  View dhidden = ctx.alloc(requests * links_, mlp_.hidden());
  mlp_.finish_backward(ctx, dlc, dhidden);
  View dl_part = ctx.alloc_parameter(links_, mlp_.hidden()), du_part = ctx.alloc(requests, mlp_.hidden());
  fill(ctx, dl_part, 0);
  sum_over_requests(ctx, dhidden, dl_part);
  sum_over_links(ctx, dhidden, du_part);
  sum_over_requests(ctx, dlc, dl);
  mlp_.add_part_backward(ctx, 0, l_, in_row_type(ctx, dl_part), GradMode::accumulate, dl);
  mlp_.add_part_backward(ctx, width_, user_, du_part, GradMode::accumulate, duser);
  mlp_.ready();
}

double LinkContext::forward_flops(int64_t requests) const {
  const auto b = static_cast<double>(requests), l = static_cast<double>(links_),
             d = static_cast<double>(width_);
  return 2 * d * (l * d + b * static_cast<double>(user_features_) + b * l * d);
}

}  // namespace lime
