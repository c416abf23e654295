#include <algorithm>
#include <cstdio>
#include <map>

#include "launch/rank_bench.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr double slow_rank = 0.75, slow_disk = 0.5, slow_link = 0.5;  // of the median
constexpr double late_link = 3, late_us = 50;  // a small message: times the median, and so much more
constexpr size_t most_lines = 8;               // of one kind

// Of rates; of an even number the higher: of two ranks the faster.
double median_rate(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string share_text(double share) {
  char text[32];
  std::snprintf(text, sizeof text, share < 0.095 ? "%.3f" : "%.2f", share);
  return text;
}

std::string rate_text(double rate) { return grouped(rate, rate < 10 ? 2 : rate < 100 ? 1 : 0); }

std::string rank_text(const RankBench& bench, size_t rank) {
  return str("rank ", rank, " (", bench.hosts[static_cast<size_t>(bench.host_of[rank])], ")");
}

void add_some(std::vector<std::string>& all, std::vector<std::string> lines, const std::string& more) {
  if (lines.size() > most_lines) {
    const size_t left = lines.size() - most_lines;
    lines.resize(most_lines);
    lines.push_back(str("... and ", left, more));
  }
  all.insert(all.end(), lines.begin(), lines.end());
}

// The ranks of which `stands_out`: hosts all of whose ranks do, of several hosts and ranks, and the other
// ones.
struct Named {
  std::vector<size_t> hosts, ranks;
};
template <typename F>
Named by_host(const RankBench& bench, F&& stands_out) {
  Named named;
  std::vector<size_t> all(bench.hosts.size()), out(bench.hosts.size());
  for (size_t r = 0; r < bench.host_of.size(); ++r) {
    ++all[static_cast<size_t>(bench.host_of[r])];
    out[static_cast<size_t>(bench.host_of[r])] += stands_out(r);
  }
  const auto whole = [&](size_t h) { return bench.hosts.size() > 1 && all[h] > 1 && out[h] == all[h]; };
  for (size_t h = 0; h < bench.hosts.size(); ++h)
    if (whole(h)) named.hosts.push_back(h);
  for (size_t r = 0; r < bench.host_of.size(); ++r)
    if (stands_out(r) && !whole(static_cast<size_t>(bench.host_of[r]))) named.ranks.push_back(r);
  return named;
}

void add_rates(std::vector<std::string>& all, const RankBench& bench, const RankRates& rates) {
  const double median = median_rate(rates.of);
  if (!(median > 0)) return;
  const Named named = by_host(bench, [&](size_t r) { return rates.of[r] < slow_rank * median; });
  std::vector<std::string> lines;
  const auto add = [&](const std::string& who, double rate) {
    lines.push_back(str(who, ": ", rates.name, " ", share_text(rate / median), " of the median rank's (",
                        rate_text(rate), " for ", rate_text(median), " ", rates.unit, ")"));
  };
  for (const size_t h : named.hosts) {
    std::vector<double> of;
    for (size_t r = 0; r < rates.of.size(); ++r)
      if (bench.host_of[r] == static_cast<int>(h)) of.push_back(rates.of[r]);
    add(str(bench.hosts[h], " (all ", of.size(), " ranks)"), median_rate(of));
  }
  for (const size_t r : named.ranks) add(rank_text(bench, r), rates.of[r]);
  add_some(all, std::move(lines), str(" more: ", rates.name));
}

// Of a disk, which the ranks of a host share: who of them was served first is luck.
void add_disks(std::vector<std::string>& all, const RankBench& bench, const RankRates& rates) {
  std::vector<double> mean(bench.hosts.size()), ranks(bench.hosts.size());
  for (size_t r = 0; r < rates.of.size(); ++r) {
    mean[static_cast<size_t>(bench.host_of[r])] += rates.of[r];
    ++ranks[static_cast<size_t>(bench.host_of[r])];
  }
  for (size_t h = 0; h < mean.size(); ++h) mean[h] /= ranks[h];
  const double median = median_rate(mean);
  std::vector<std::string> lines;
  for (size_t h = 0; h < mean.size(); ++h)
    if (mean[h] < slow_disk * median)
      lines.push_back(str(bench.hosts[h], ": ", rates.name, " ", share_text(mean[h] / median),
                          " of the median host's (", rate_text(mean[h]), " for ", rate_text(median), " ",
                          rates.unit, " a rank)"));
  add_some(all, std::move(lines), str(" more: ", rates.name));
}

void add_links(std::vector<std::string>& all, const RankBench& bench) {
  if (bench.links.empty()) return;
  std::vector<double> rates, delays;
  for (const HostLink& link : bench.links) rates.push_back(link.mb_s), delays.push_back(-link.us);
  const double median = median_rate(rates), usual_us = -median_rate(delays);
  const auto name = [&](int host) { return bench.hosts[static_cast<size_t>(host)]; };
  const auto slow = [&](const HostLink& link) { return link.mb_s < slow_link * median; };
  // Hosts all of whose links one way are slow.
  std::map<int, std::vector<double>> from, to;
  const size_t others = bench.hosts.size() - 1;
  for (const HostLink& link : bench.links)
    if (slow(link)) from[link.from].push_back(link.mb_s), to[link.to].push_back(link.mb_s);
  const auto whole = [&](const std::map<int, std::vector<double>>& of, int host) {
    const auto found = of.find(host);
    return others > 1 && found != of.end() && found->second.size() == others;
  };
  std::vector<std::string> lines;
  const auto add = [&](const std::string& who, double rate) {
    lines.push_back(str(who, ": ", share_text(rate / median), " of the median bandwidth between hosts (",
                        rate_text(rate), " for ", rate_text(median), " MB/s)"));
  };
  for (const auto& [host, of] : from)
    if (whole(from, host)) add(name(host) + " to all others", median_rate(of));
  for (const auto& [host, of] : to)
    if (whole(to, host)) add("all others to " + name(host), median_rate(of));
  for (const HostLink& link : bench.links)
    if (slow(link) && !whole(from, link.from) && !whole(to, link.to))
      add(name(link.from) + " to " + name(link.to), link.mb_s);
  add_some(all, std::move(lines), " more links");
  lines.clear();
  for (const HostLink& link : bench.links)
    if (link.from < link.to && link.us > late_link * usual_us && link.us > usual_us + late_us)
      lines.push_back(str(name(link.from), " - ", name(link.to), ": a small message takes ",
                          grouped(link.us, 0), " us, ", grouped(usual_us, 0), " between the median pair"));
  add_some(all, std::move(lines), " more pairs");
}

void add_bits(std::vector<std::string>& all, const RankBench& bench) {
  if (bench.digests.empty()) return;
  std::map<std::string, int64_t> count;
  for (const auto& digest : bench.digests) ++count[digest];
  std::string most = bench.digests.front();
  for (const auto& [digest, ranks] : count)
    if (ranks > count[most]) most = digest;
  const auto usual = static_cast<size_t>(std::find(bench.digests.begin(), bench.digests.end(), most) -
                                         bench.digests.begin());
  const Named named = by_host(bench, [&](size_t r) { return bench.digests[r] != most; });
  std::vector<std::string> lines;
  const auto add = [&](const std::string& who, size_t rank) {
    const std::string &here = bench.processors[rank], &there = bench.processors[usual];
    lines.push_back(str(who, ": layers compute other bits than on ", rank_text(bench, usual),
                        here == there ? "" : str(" (", here, "; there ", there, ")")));
  };
  for (const size_t h : named.hosts)
    add(str(bench.hosts[h], " (all its ranks)"),
        static_cast<size_t>(std::find(bench.host_of.begin(), bench.host_of.end(), static_cast<int>(h)) -
                            bench.host_of.begin()));
  for (const size_t r : named.ranks) add(rank_text(bench, r), r);
  add_some(all, std::move(lines), " more of other bits");
}

}  // namespace

std::vector<std::string> what_stands_out(const RankBench& bench) {
  std::vector<std::string> all;
  for (const RankRates& rates : bench.rates) (rates.by_host ? add_disks : add_rates)(all, bench, rates);
  add_links(all, bench);
  add_bits(all, bench);
  return all;
}

}  // namespace lime
