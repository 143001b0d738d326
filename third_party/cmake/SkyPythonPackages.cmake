# The folders where pip puts NVIDIA's libraries: SKY_NVIDIA_FOLDERS holds each .../site-packages/nvidia that is there.
set(SKY_NVIDIA_FOLDERS "")
find_program(SKY_PYTHON NAMES python3)
mark_as_advanced(SKY_PYTHON)
if(SKY_PYTHON)
  execute_process(COMMAND ${SKY_PYTHON} -c "import site; print(';'.join(site.getsitepackages() + [site.getusersitepackages()]))"
                  OUTPUT_VARIABLE folders OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  foreach(folder IN LISTS folders)
    if(IS_DIRECTORY "${folder}/nvidia")
      list(APPEND SKY_NVIDIA_FOLDERS "${folder}/nvidia")
    endif()
  endforeach()
endif()
