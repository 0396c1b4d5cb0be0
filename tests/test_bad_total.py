"""How many bad inputs the tables of tests/test_bad_*.py try through the command line, and that they are distinct."""

import test_bad_claims
import test_bad_data
import test_bad_files
import test_bad_journals
import test_bad_jpegs
import test_bad_lines
import test_bad_parameters
import test_bad_results

TABLES = [
    test_bad_lines.SETTINGS, test_bad_lines.LINES, test_bad_parameters.PARAMETERS, test_bad_parameters.BOOKS,
    test_bad_data.NPZ, test_bad_data.NATURAL, test_bad_files.IDX, test_bad_files.TAR, test_bad_jpegs.JPEG,
    test_bad_results.ROWS, test_bad_results.RECORDS, test_bad_results.TEXTS, test_bad_results.FOLDER,
    test_bad_journals.JOURNALS, test_bad_journals.ASKED, test_bad_claims.FIELDS, test_bad_claims.FILES,
]  # fmt: skip


def test_at_least_200_distinct_inputs_with_sentences_of_their_own():
    inputs = [(place, key) for place, table in enumerate(TABLES) for key in table]
    said = {entry if isinstance(entry, str) else entry[-1] for table in TABLES for entry in table.values()}
    assert len(inputs) == len(set(inputs)) and len(inputs) >= 400
    assert len(said) >= 380  # a few inputs are refused in the same words


def test_bytes_of_files_differ():
    files = test_bad_files.IDX, test_bad_files.TAR, test_bad_jpegs.JPEG, test_bad_claims.FILES
    for table in (test_bad_data.NPZ, *files):
        contents = [content for content, _ in table.values()]
        assert len(set(contents)) == len(contents)
