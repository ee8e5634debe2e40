"""The command line of the checks in this folder: findings of a tree, or the check's own test."""

import pathlib


def run_check(arguments, findings, self_test, found_words, clean_words):
    """Prints findings(root) and a closing line; returns the exit status. `arguments`: [], [ROOT] or ["--self-test"]."""
    if arguments == ["--self-test"]:
        return self_test()
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parents[3]
    found = findings(root)
    for finding in found:
        print(finding)
    print(found_words.format(len(found)) if found else clean_words)
    return 1 if found else 0


def report_self_test(failures, planted, name):
    """Prints the failures of a check's own test and a closing line; returns the exit status."""
    for failure in failures:
        print(failure)
    print(f"{planted + 1 - len(failures)} of {planted + 1} checks of the {name} hold")
    return 1 if failures else 0
