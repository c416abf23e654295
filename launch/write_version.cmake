# Run at every build: writes OUT (lime_version.h) from what the configuration knew and the commit as it is now. The file
# changes, and with it one object, only where the text does.
set(LIME_COMMIT "unknown")
find_package(Git QUIET)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --tags
                  WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE described RESULT_VARIABLE failed
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed)
    set(LIME_COMMIT "${described}")
  endif()
endif()
configure_file(${IN} ${OUT} @ONLY)
