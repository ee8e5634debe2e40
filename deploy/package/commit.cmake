# Writes the source file OUT with the commit of the programs: COMMIT if given, otherwise the commit of the checkout SOURCE,
# with "-dirty" if files differ from it; empty outside a checkout. An unchanged file is not written, so that no program
# is linked again.
if(NOT COMMIT)
  execute_process(
      COMMAND git -C "${SOURCE}" describe --always --abbrev=12 --exclude=* --dirty
      OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed OR NOT EXISTS "${SOURCE}/.git")
    set(COMMIT "")
  endif()
endif()
if(NOT COMMIT MATCHES "^[0-9A-Za-z._-]*$")
  message(FATAL_ERROR "PROAD_COMMIT is '${COMMIT}': letters, digits, '.', '_' and '-' are allowed")
endif()
set(text "namespace proad {\nconst char* Commit() { return \"${COMMIT}\"; }\n}  // namespace proad\n")
set(old "")
if(EXISTS "${OUT}")
  file(READ "${OUT}" old)
endif()
if(NOT text STREQUAL old)
  file(WRITE "${OUT}" "${text}")
endif()
