# cuBLAS: CUBLAS_INCLUDE_DIR and CUBLAS_LIBRARY, which the program loads when it wants it. Looks in the CUDA toolkit, which may come without it, in the system's folders and in pip's packages (nvidia/cublas, nvidia/cu13), whose libraries have only
# their versioned name.
include(SkyPythonPackages)
set(CUBLAS_FOLDERS ${SKY_NVIDIA_FOLDERS})
list(TRANSFORM CUBLAS_FOLDERS REPLACE "(.+)" "\\1/cu13;\\1/cu12;\\1/cublas")
find_path(CUBLAS_INCLUDE_DIR cublas_v2.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${CUBLAS_FOLDERS} PATH_SUFFIXES include)
find_library(CUBLAS_LIBRARY NAMES cublas libcublas.so.13 libcublas.so.12 HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUBLAS_FOLDERS} PATH_SUFFIXES lib lib64)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Cublas REQUIRED_VARS CUBLAS_LIBRARY CUBLAS_INCLUDE_DIR)
mark_as_advanced(CUBLAS_INCLUDE_DIR CUBLAS_LIBRARY)
