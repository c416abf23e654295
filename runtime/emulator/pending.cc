#include "runtime/emulator/pending.h"

#include <algorithm>
#include <cstring>

#include "runtime/emulator/emulator.h"

namespace lime::emulator {

void Pending::forget() {
  copies.clear();
  groups.clear();
  lent.clear();
  operands.clear();
  products_fenced = false;
  products = 0;
  unfenced.clear();
}

void start_copy(void* to, const void* from, size_t bytes, Place place) {
  std::memset(to, 0xff, bytes);  // from now on no thread may count on what was there
  race::begin_copy(to, bytes, place);
  if (from) race::note_read(from, bytes, place);
  pending().copies.push_back({to, from, bytes, place, race::now()});
}

void commit_copies() {
  Pending& me = pending();
  me.groups.push_back(std::exchange(me.copies, {}));
}

void wait_copies(size_t groups_that_may_be_missing) {
  Pending& me = pending();
  for (; me.groups.size() > groups_that_may_be_missing; me.groups.pop_front()) {
    for (const Pending::Copy& copy : me.groups.front()) {
      copy.from ? std::memcpy(copy.to, copy.from, copy.bytes) : std::memset(copy.to, 0, copy.bytes);
      race::end_copy(copy.to, copy.bytes, copy.place);
      if (copy.from) race::end_read(copy.start, copy.from, copy.bytes, copy.place);
      note_store(copy.to, copy.bytes);
    }
  }
}

void note_store(const void* to, size_t bytes) {
  pending().unfenced.emplace_back(reinterpret_cast<uintptr_t>(to), bytes);
}
void note_operand(const void* piece, size_t bytes, Place place) {
  if (!race::finds_races) return;
  race::note_read(piece, bytes, place);
  pending().operands.push_back({piece, bytes, place, race::now()});
}
void fence_products() { pending().products_fenced = true; }
void begin_product(Place place) {
  Pending& me = pending();
  if (!me.products_fenced) fault("a product that no fence precedes", place);
  ++me.products;
}
void fence_stores() { pending().unfenced.clear(); }

const void* values_of(const void* registers) {
  for (const Pending::Lent& lent : pending().lent)
    if (lent.registers == registers) return lent.values.data();
  return registers;
}

void lend_registers(void* registers, const void* values, size_t n) {
  std::vector<Pending::Lent>& lent = pending().lent;
  std::vector<uint32_t> kept(n);
  std::memcpy(kept.data(), values, n * sizeof(uint32_t));  // which may be those of a product before
  auto mine = std::find_if(lent.begin(), lent.end(),
                           [&](const Pending::Lent& l) { return l.registers == registers; });
  if (mine == lent.end()) mine = lent.insert(mine, {registers, {}});
  mine->values = std::move(kept);
  std::memset(registers, 0xff, n * sizeof(uint32_t));
}

void wait_products() {
  Pending& me = pending();
  for (const Pending::Lent& lent : me.lent)
    std::memcpy(lent.registers, lent.values.data(), lent.values.size() * sizeof(uint32_t));
  me.lent.clear();
  for (const Pending::Operand& o : me.operands) race::end_read(o.start, o.piece, o.bytes, o.place);
  me.operands.clear();
  me.products_fenced = false;
}

}  // namespace lime::emulator
