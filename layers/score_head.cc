#include "layers/score_head.h"

#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {

ScoreHead::ScoreHead(ParameterStore& store, const std::string& name, int64_t width, int64_t user_features,
                     int64_t hidden, int64_t tasks)
    : width_(width),
      user_features_(user_features),
      tasks_(tasks),
      mlp_(store, name, 2 * width + user_features, hidden, tasks) {}

void ScoreHead::forward(Context& ctx, const ConstView& z, const ConstView& t, const ConstView& user,
                        const Jagged& impressions, View logits) {
  const TraceRange range(ctx, "score_head");
  check_shape(ctx, z, impressions.rows(), width_, "interaction output");
  check_shape(ctx, t, impressions.rows(), width_, "candidates");
  check_shape(ctx, user, impressions.segments(), user_features_, "user");
  check_parameter(ctx, logits, impressions.rows(), tasks_, "logits");
  z_ = z, t_ = t, user_ = user, impressions_ = impressions;
  View hidden = ctx.alloc(z.rows(), mlp_.hidden());
  {
    const Arena::Scope scope(ctx.arena());
    View u_part = ctx.alloc(user.rows(), mlp_.hidden());
    mlp_.add_part(ctx, 2 * width_, user, GradMode::overwrite, u_part);
    repeat_rows(ctx, u_part, impressions, hidden);
  }
  mlp_.add_part(ctx, 0, z, GradMode::accumulate, hidden);
  mlp_.add_part(ctx, width_, t, GradMode::accumulate, hidden);
  mlp_.finish(ctx, hidden, logits);
}

void ScoreHead::backward(Context& ctx, const ConstView& dlogits, View dz, View dt, View duser) {
  const TraceRange range(ctx, "score_head_backward");
  const Arena::Scope scope(ctx.arena());
  View dhidden = ctx.alloc(dlogits.rows(), mlp_.hidden()), du_part = ctx.alloc(user_.rows(), mlp_.hidden());
  mlp_.finish_backward(ctx, in_row_type(ctx, dlogits), dhidden);
  repeat_rows_backward(ctx, dhidden, impressions_, GradMode::overwrite, du_part);
  mlp_.add_part_backward(ctx, 0, z_, dhidden, GradMode::overwrite, dz);
  mlp_.add_part_backward(ctx, width_, t_, dhidden, GradMode::overwrite, dt);
  mlp_.add_part_backward(ctx, 2 * width_, user_, du_part, GradMode::overwrite, duser);
  mlp_.ready();
}

double ScoreHead::forward_flops(int64_t requests, int64_t candidates) const {
  const auto b = static_cast<double>(requests), c = static_cast<double>(candidates);
  return 2 * static_cast<double>(mlp_.hidden()) *
         (c * static_cast<double>(2 * width_ + tasks_) + b * static_cast<double>(user_features_));
}

}  // namespace lime
