# cuDNN: CUDNN_FOUND, CUDNN_VERSION, target CUDNN::cudnn.
# Looked for under CUDNN_ROOT (variable or environment), each CMAKE_PREFIX_PATH, beside the toolkit and on the system;
# as installed by a package of the distribution or by pip (SITE-PACKAGES/nvidia/cudnn, whose library has no plain name).
set(cudnn_hints ${CUDAToolkit_LIBRARY_ROOT})
foreach(dir ${CUDAToolkit_INCLUDE_DIRS} ${CUDAToolkit_LIBRARY_DIR})
  get_filename_component(dir "${dir}" DIRECTORY)
  list(APPEND cudnn_hints ${dir})
endforeach()
foreach(prefix ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${CMAKE_PREFIX_PATH})
  list(PREPEND cudnn_hints ${prefix} ${prefix}/nvidia/cudnn)
endforeach()
# Both names in a folder before the next folder: pip's header does not go with a library of the system.
find_path(CUDNN_INCLUDE_DIR cudnn_version.h HINTS ${cudnn_hints} PATH_SUFFIXES include)
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 NAMES_PER_DIR HINTS ${cudnn_hints} PATH_SUFFIXES lib lib64)

if(CUDNN_INCLUDE_DIR AND EXISTS ${CUDNN_INCLUDE_DIR}/cudnn_version.h)
  file(STRINGS ${CUDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) +[0-9]+")
  string(REGEX REPLACE "[^0-9;]+" "" numbers "${lines}")
  string(REPLACE ";" "." CUDNN_VERSION "${numbers}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_LIBRARY CUDNN_INCLUDE_DIR VERSION_VAR CUDNN_VERSION)
if(CUDNN_FOUND AND NOT TARGET CUDNN::cudnn)
  add_library(CUDNN::cudnn UNKNOWN IMPORTED)
  set_target_properties(CUDNN::cudnn PROPERTIES IMPORTED_LOCATION "${CUDNN_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${CUDNN_INCLUDE_DIR}")
endif()
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)
