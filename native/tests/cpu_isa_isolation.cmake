# Fails if an object file of an instruction set defines a symbol that the linker may choose for another file: code
# compiled for AVX would then run on machines without it. Needs NM and OBJECTS (a list).
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND "${NM}" --demangle --defined-only "${object}" OUTPUT_VARIABLE symbols
                  COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [VvWwu] [^\n]*" shared "${symbols}")
  list(FILTER shared EXCLUDE REGEX "DW\\.ref\\.")  # data: where unoptimised code finds the exception handler
  if(shared)
    string(REPLACE ";" "\n" shared "${shared}")
    message(SEND_ERROR "${object} defines shared symbols:\n${shared}")
  endif()
endforeach()
list(LENGTH OBJECTS count)
if(NOT count EQUAL 3)
  message(FATAL_ERROR "expected the object files of 3 instruction sets, got: ${OBJECTS}")
endif()
