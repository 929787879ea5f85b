# Decides whether the CUDA backend is built and prepares the language. Sets REPRISE_WITH_CUDA.

set(REPRISE_CUDA AUTO CACHE STRING "Build the CUDA backend: ON, OFF, or AUTO (where a CUDA compiler is found)")
set(REPRISE_CUDA_ARCHITECTURES "" CACHE STRING
    "CUDA architectures, as CMAKE_CUDA_ARCHITECTURES; empty: every supported one and PTX for later ones")

set(REPRISE_WITH_CUDA OFF)
if(REPRISE_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(REPRISE_WITH_CUDA ON)
  endif()
elseif(REPRISE_CUDA)
  set(REPRISE_WITH_CUDA ON)
endif()
if(NOT REPRISE_WITH_CUDA)
  message(STATUS "CUDA backend: not built (REPRISE_CUDA=${REPRISE_CUDA})")
  return()
endif()

# CMake compiles its compiler checks for these; the targets get the final list below.
if(REPRISE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "${REPRISE_CUDA_ARCHITECTURES}")
else()
  set(CMAKE_CUDA_ARCHITECTURES 90)
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
  message(FATAL_ERROR "CUDA ${CMAKE_CUDA_COMPILER_VERSION} at ${CMAKE_CUDA_COMPILER} is too old: 12.8 or later is "
                      "needed. Point CMAKE_CUDA_COMPILER at a newer nvcc or set REPRISE_CUDA=OFF.")
endif()
if(NOT REPRISE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90-real 100-real 120)
endif()
message(STATUS "CUDA backend: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
