#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "launch/json_number.h"
#include "launch/rank_bench.h"
#include "launch/text_table.h"
#include "launch/version.h"
#include "runtime/text.h"

namespace lime {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

constexpr size_t most_ranks = 16;  // in a line each
constexpr size_t most_links = 16;

std::string number(double value) { return grouped(value, value < 10 ? 2 : value < 100 ? 1 : 0); }

std::string bytes_text(int64_t bytes) {
  const auto rounded = [&](int shift) { return (bytes + (int64_t{1} << (shift - 1))) >> shift; };
  return bytes < 1024         ? str(bytes, " B")
         : rounded(10) < 1024 ? str(rounded(10), " KiB")
                              : str(rounded(20), " MiB");
}

// A line a rank, or a host with the least of its ranks; columns of digests as letters.
std::string rates_table(const RankBench& bench) {
  const size_t ranks = bench.host_of.size();
  const bool by_host = ranks > most_ranks;
  std::vector<std::string> letters;  // of digests, in the order of their first ranks
  const auto letter = [&](size_t rank) {
    const auto found = std::find(letters.begin(), letters.end(), bench.digests[rank]);
    const auto i = static_cast<size_t>(found - letters.begin());
    if (found == letters.end()) letters.push_back(bench.digests[rank]);
    return i < 26 ? str(static_cast<char>('A' + i)) : str(i);
  };
  std::vector<std::vector<size_t>> lines;
  if (by_host) {
    lines.resize(bench.hosts.size());
    for (size_t r = 0; r < ranks; ++r) lines[static_cast<size_t>(bench.host_of[r])].push_back(r);
  } else {
    for (size_t r = 0; r < ranks; ++r) lines.push_back({r});
  }
  Rows rows = {{by_host ? "host, least of its ranks" : "rank"}};
  for (const RankRates& rates : bench.rates) rows[0].push_back(str(rates.name, " ", rates.unit));
  rows[0].emplace_back("bits");
  for (const auto& line : lines) {
    const std::string& host = bench.hosts[static_cast<size_t>(bench.host_of[line[0]])];
    rows.push_back({by_host ? str(host, " (", line.size(), ")") : str(line[0], " ", host)});
    for (const RankRates& rates : bench.rates) {
      double least = rates.of[line[0]];
      for (const size_t r : line) least = std::min(least, rates.of[r]);
      rows.back().push_back(number(least));
    }
    std::set<std::string> bits;
    for (const size_t r : line) bits.insert(letter(r));
    rows.back().push_back(joined(bits));
  }
  return aligned_table(rows);
}

std::string collectives_table(const RankBench& bench) {
  Rows rows = {{"between all ranks", "of", "us", "GB/s"}};
  for (const CollectiveTime& c : bench.collectives)
    rows.push_back({c.name, bytes_text(c.bytes), grouped(c.us, c.us < 100 ? 1 : 0), grouped(c.gb_s, 3)});
  return aligned_table(rows);
}

std::string links_table(const RankBench& bench) {
  std::vector<HostLink> links = bench.links;
  Rows rows = {{"from host to host", "MB/s", "small message us"}};
  if (links.size() > most_links) {
    rows[0][0] = str("the ", most_links, " slowest of ", links.size(), " links");
    std::stable_sort(links.begin(), links.end(),
                     [](const HostLink& a, const HostLink& b) { return a.mb_s < b.mb_s; });
    links.resize(most_links);
  }
  for (const HostLink& link : links)
    rows.push_back(
        {str(bench.hosts[static_cast<size_t>(link.from)], " to ", bench.hosts[static_cast<size_t>(link.to)]),
         number(link.mb_s), grouped(link.us, 0)});
  return aligned_table(rows);
}

}  // namespace

std::string ranks_text(const RankBench& bench) {
  const size_t ranks = bench.host_of.size(), hosts = bench.hosts.size();
  std::string text =
      str(ranks, ranks == 1 ? " rank" : " ranks", " on ", hosts, hosts == 1 ? " host" : " hosts", ", device ",
          bench.device, bench.transport.empty() ? std::string() : str(", joined by ", bench.transport),
          "\n\n", rates_table(bench));
  if (!bench.collectives.empty()) text += str("\n", collectives_table(bench));
  if (!bench.links.empty()) text += str("\n", links_table(bench));
  const auto found = what_stands_out(bench);
  return str(text, "\n", found.empty() ? "nothing stands out" : joined(found, "\n"), "\n");
}

std::string ranks_json(const RankBenchOptions& options, const RankBench& bench) {
  Json json = {{"what", "ranks beside each other"},
               {"version", build_info().version},
               {"commit", build_info().commit},
               {"device", bench.device},
               {"joined_by", bench.transport},
               {"seconds", options.seconds},
               {"data", options.data},
               {"out", options.out},
               {"file_bytes", options.file_bytes},
               {"hosts", bench.hosts},
               {"ranks", Json::array()},
               {"collectives", Json::array()},
               {"links", Json::array()}};
  for (size_t r = 0; r < bench.host_of.size(); ++r) {
    Json rank = {{"rank", r},
                 {"host", bench.hosts[static_cast<size_t>(bench.host_of[r])]},
                 {"processor", bench.processors[r]},
                 {"digest", bench.digests[r]}};
    for (const RankRates& rates : bench.rates)
      rank[str(rates.name, " ", rates.unit)] = json_number(rates.of[r]);
    json["ranks"].push_back(rank);
  }
  for (const CollectiveTime& c : bench.collectives)
    json["collectives"].push_back(
        {{"name", c.name}, {"bytes", c.bytes}, {"us", json_number(c.us)}, {"gb_s", json_number(c.gb_s)}});
  for (const HostLink& link : bench.links)
    json["links"].push_back({{"from", bench.hosts[static_cast<size_t>(link.from)]},
                             {"to", bench.hosts[static_cast<size_t>(link.to)]},
                             {"mb_s", json_number(link.mb_s)},
                             {"small_message_us", json_number(link.us)}});
  json["stands_out"] = what_stands_out(bench);
  return json.dump(2) + "\n";
}

}  // namespace lime
