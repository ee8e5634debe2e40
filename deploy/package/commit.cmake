# Writes OUT, the source that names the commit which the programs are built from: COMMIT if given, otherwise that of
# the checkout SOURCE with "-dirty" when files differ from it, and nothing outside of a checkout. A file that would not
# change is left alone, so that nothing is linked anew.
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
