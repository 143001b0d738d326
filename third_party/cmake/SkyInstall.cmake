# What `cmake --install` gives: the program, the library, its headers, a CMake package (find_package(skygem)) and a pkg-config file. Both let a
# program that uses the static library link everything behind it.
include(CMakePackageConfigHelpers)
set(SKY_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/skygem)

install(TARGETS skygem-program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS skygem EXPORT skygemTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/skygem DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/skygem)

# The manual page and the shells' completions come from the program's own tables.
set(SKY_MANUALS)
foreach(manual man bash zsh)
  set(file ${PROJECT_BINARY_DIR}/manual/${manual})
  add_custom_command(OUTPUT ${file} COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/manual COMMAND skygem-program help ${manual} > ${file} DEPENDS skygem-program VERBATIM)
  list(APPEND SKY_MANUALS ${file})
endforeach()
add_custom_target(manual ALL DEPENDS ${SKY_MANUALS})
install(FILES ${PROJECT_BINARY_DIR}/manual/man DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 RENAME skygem.1)
install(FILES ${PROJECT_BINARY_DIR}/manual/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME skygem)
install(FILES ${PROJECT_BINARY_DIR}/manual/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _skygem)

install(EXPORT skygemTargets NAMESPACE skygem:: DESTINATION ${SKY_PACKAGE_DIR})
configure_package_config_file(third_party/cmake/skygemConfig.cmake.in skygemConfig.cmake INSTALL_DESTINATION ${SKY_PACKAGE_DIR})
write_basic_package_version_file(skygemConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/skygemConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/skygemConfigVersion.cmake
              third_party/cmake/FindInih.cmake third_party/cmake/FindDNNL.cmake third_party/cmake/FindCUDNN.cmake
              third_party/cmake/SkyPythonPackages.cmake
        DESTINATION ${SKY_PACKAGE_DIR})

# A shared library brings its own dependencies; with a static one the user's program needs them all.
set(SKY_PC_PACKAGES "libjpeg libpng zlib inih")
if(SKY_HAVE_TIFF)
  string(APPEND SKY_PC_PACKAGES " libtiff-4")
endif()
set(SKY_PC_REQUIRES "Requires: ${SKY_PC_PACKAGES}")
string(REPLACE ";" " " SKY_PC_LIBS "Libs: -L\${libdir};-lskygem;-ldnnl;${OpenMP_C_FLAGS};-pthread;-lm")
if(SKY_HAVE_CUDA)
  string(APPEND SKY_PC_LIBS " ${CUDNN_LIBRARY} -L${CUDAToolkit_LIBRARY_DIR} -lcudart -lstdc++")
endif()
if(SKY_HAVE_MPI)
  string(REPLACE ";" " " SKY_MPI_LIBS "${MPI_C_LIBRARIES}")
  string(APPEND SKY_PC_LIBS " ${SKY_MPI_LIBS}")
endif()
if(BUILD_SHARED_LIBS)
  set(SKY_PC_REQUIRES "Requires.private: ${SKY_PC_PACKAGES}")
  set(SKY_PC_LIBS "Libs: -L\${libdir} -lskygem")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(SKY_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH SKY_PC_UP "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" SKY_PC_PREFIX "\${pcfiledir}/${SKY_PC_UP}") # the installed tree may be moved
endif()
configure_file(third_party/cmake/skygem.pc.in skygem.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/skygem.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
