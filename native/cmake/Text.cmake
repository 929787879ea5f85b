# Finds the Rust toolchain for native/text and sets REPRISE_WITH_TEXT and the library target reprise_crate.
set(REPRISE_TEXT AUTO CACHE STRING "Build templates and constraints (native/text, needs cargo): ON, OFF or AUTO")
set_property(CACHE REPRISE_TEXT PROPERTY STRINGS AUTO ON OFF)

set(crate "${CMAKE_CURRENT_SOURCE_DIR}/text")
file(READ "${crate}/Cargo.toml" manifest)
string(REGEX MATCH "rust-version = \"([0-9.]+)\"" matched "${manifest}")
set(oldest_cargo "${CMAKE_MATCH_1}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${crate}/Cargo.toml")

set(REPRISE_WITH_TEXT OFF)
if(REPRISE_TEXT STREQUAL "OFF")
  message(STATUS "Templates and constraints: left out (REPRISE_TEXT=OFF); their calls will say so")
elseif(REPRISE_TEXT STREQUAL "ON" OR REPRISE_TEXT STREQUAL "AUTO")
  find_program(REPRISE_CARGO cargo HINTS "$ENV{HOME}/.cargo/bin" DOC "cargo, for native/text")
  set(problem "cargo was not found")
  if(REPRISE_CARGO)
    execute_process(COMMAND "${REPRISE_CARGO}" --version OUTPUT_VARIABLE output ERROR_VARIABLE output)
    set(problem "${REPRISE_CARGO} does not run")
    if(output MATCHES "cargo ([0-9]+\\.[0-9]+\\.[0-9]+)")
      set(version "${CMAKE_MATCH_1}")
      set(problem "${REPRISE_CARGO} is version ${version}")
      if(version VERSION_GREATER_EQUAL oldest_cargo)
        set(problem "")
      endif()
    endif()
  endif()
  if(NOT problem)
    set(REPRISE_WITH_TEXT ON)
    message(STATUS "Templates and constraints: by cargo ${version}")
  elseif(REPRISE_TEXT STREQUAL "ON")
    message(FATAL_ERROR "REPRISE_TEXT=ON needs cargo ${oldest_cargo} or later: ${problem}. REPRISE_CARGO names one.")
  else()
    message(WARNING "Templates and constraints are left out: ${problem}, ${oldest_cargo} or later is needed "
                    "(ci/setup installs it where this system's packages have it). Their calls will say so.")
  endif()
else()
  message(FATAL_ERROR "REPRISE_TEXT is ON, OFF or AUTO, not '${REPRISE_TEXT}'")
endif()

if(REPRISE_WITH_TEXT)
  set(crate_target "${CMAKE_BINARY_DIR}/cargo")
  set(crate_library "${crate_target}/release/libreprise_text.a")
  set(cargo "${REPRISE_CARGO}")
  set(cargo_options --release --locked --lib --quiet)
  list(APPEND cargo_options --manifest-path "${crate}/Cargo.toml" --target-dir "${crate_target}")
  if(REPRISE_FUZZ)
    # What libFuzzer follows, of all that is linked. A target of its own keeps it out of what runs while building.
    set(triple x86_64-unknown-linux-gnu)
    set(crate_library "${crate_target}/${triple}/release/libreprise_text.a")
    list(APPEND cargo_options --target ${triple})
    set(coverage -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3
                 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table)
    list(JOIN coverage " " coverage)
    # Optimised like the C++ code of the targets: of a short run most is compiling.
    set(cargo "${CMAKE_COMMAND}" -E env "RUSTFLAGS=${coverage}" CARGO_PROFILE_RELEASE_OPT_LEVEL=1 "${REPRISE_CARGO}")
  endif()
  file(GLOB_RECURSE crate_sources CONFIGURE_DEPENDS "${crate}/src/*.rs")
  add_custom_command(OUTPUT "${crate_library}"
    COMMAND ${cargo} build ${cargo_options}
    COMMAND "${CMAKE_COMMAND}" -E touch "${crate_library}"  # cargo leaves it alone where nothing changed
    DEPENDS ${crate_sources} "${crate}/Cargo.toml" "${crate}/Cargo.lock"
    COMMENT "Building the Rust crate native/text"
    VERBATIM)
  add_custom_target(reprise_cargo DEPENDS "${crate_library}")
  add_library(reprise_crate STATIC IMPORTED)
  set_target_properties(reprise_crate PROPERTIES IMPORTED_LOCATION "${crate_library}")
  add_dependencies(reprise_crate reprise_cargo)
endif()
