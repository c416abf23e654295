// Where in the source an instruction is, for the race checker's reports.
#pragma once

#include <cstdint>
#include <string>

namespace lime::emulator::race {

// "file.cu:12", or "header.h:34 in file.cu:12" where the function of a header was inlined; the debugger's
// addr2line is asked. Without it or without line numbers, the address, as addr2line wants it.
std::string place_of(uintptr_t instruction);

// "PROGRAM+0x1234".
std::string offset_in_program(uintptr_t address);

}  // namespace lime::emulator::race
