# Manual pages by scdoc, and the shells' completions by the program itself.
set(QV_GENERATED "")
find_program(SCDOC scdoc)
if(SCDOC)
  foreach(page quaver.1 quaver-manifest.5)
    set(made ${PROJECT_BINARY_DIR}/man/${page})
    add_custom_command(OUTPUT ${made} COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/man
                       COMMAND sh -c "'${SCDOC}' < '${PROJECT_SOURCE_DIR}/docs/man/${page}.scd' > '${made}'"
                       DEPENDS docs/man/${page}.scd VERBATIM)
    list(APPEND QV_GENERATED ${made})
    string(REGEX REPLACE ".*\\." "" section ${page})
    install(FILES ${made} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
endif()
foreach(shell bash zsh)
  set(made ${PROJECT_BINARY_DIR}/completion/${shell})
  add_custom_command(OUTPUT ${made} COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/completion
                     COMMAND sh -c "'$<TARGET_FILE:quaver>' completion ${shell} > '${made}'" DEPENDS quaver VERBATIM)
  list(APPEND QV_GENERATED ${made})
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/completion/bash RENAME quaver DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${PROJECT_BINARY_DIR}/completion/zsh RENAME _quaver DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
add_custom_target(qv_manual ALL DEPENDS ${QV_GENERATED})
