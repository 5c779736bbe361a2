"""Owns the tests of apply_patch on patches as models write them, one small example of each kind."""

import difflib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_lsp.domain.changes import Entry, FileEdit, unified_diff
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.patching import apply_patch

SHOP = """\
import math


def total(prices):
    result = 0
    for price in prices:
        result += price
    return result


def mean(prices):
    result = 0
    for price in prices:
        result += price
    return result / len(prices)


def rounded(prices):
    return [math.floor(price) for price in prices]
"""

MENDED = SHOP.replace("math.floor(price)", "round(price)")
CHANGE = "-    return [math.floor(price) for price in prices]\n+    return [round(price) for price in prices]\n"
BODY = " def rounded(prices):\n" + CHANGE


def patched(patch: str, **files: str) -> dict[str, str | None]:
    """The patch applied to these files and `shop.py`."""
    return apply_patch(patch, {"shop.py": SHOP, **files}.get)


def refused(patch: str, **files: str) -> str:
    with pytest.raises(ToolError) as caught:
        patched(patch, **files)
    return caught.value.message


def shop(patch: str) -> str | None:
    """The new shop.py."""
    result = patched(patch)
    assert list(result) == ["shop.py"]
    return result["shop.py"]


HEAD = "--- a/shop.py\n+++ b/shop.py\n"


@pytest.mark.parametrize(
    "patch",
    [
        HEAD + "@@ -18,2 +18,2 @@\n" + BODY,
        HEAD + "@@ -900,7 +1,55 @@\n" + BODY,
        HEAD + "@@\n" + BODY,
        HEAD + "@@ ... @@\n" + BODY,
        HEAD + "@@ def rounded(prices):\n" + CHANGE,
        HEAD + "@@ -18 +18 @@ def rounded(prices):\n" + BODY,
        HEAD + BODY,
        "diff --git a/shop.py b/shop.py\nindex 3c5d0aa..93cf41b 100644\n" + HEAD + "@@ -18,2 +18,2 @@\n" + BODY,
        "diff --git a/shop.py b/shop.py\n@@ -18,2 +18,2 @@\n" + BODY,
        "--- shop.py\n+++ shop.py\n@@ -18,2 +18,2 @@\n" + BODY,
        "--- ./shop.py\n+++ ./shop.py\n@@ -18,2 +18,2 @@\n" + BODY,
        "+++ b/shop.py\n@@ -18,2 +18,2 @@\n" + BODY,
        "--- shop.py\t2026-01-01 10:00:00\n+++ shop_new.py\t2026-01-01 10:00:01\n@@ -18,2 +18,2 @@\n" + BODY,
        "--- shop.py 2026-01-01 10:00:00 +0100\n+++ shop.py 2026-01-01 10:00:01 +0100\n@@ -18,2 +18,2 @@\n" + BODY,
        "Index: shop.py\n====================\n--- shop.py\t(revision 1)\n+++ shop.py\t(working copy)\n@@\n" + BODY,
        "Here is the change:\n\n```diff\n" + HEAD + "@@ -18,2 +18,2 @@\n" + BODY + "```\n\nIt rounds now.\n",
        "```\n" + HEAD + "@@ -18,2 +18,2 @@\n" + BODY + "```",
        HEAD + "@@ -18,2 +18,2 @@\n" + BODY + "```\n",
        HEAD + "@@ -18,2 +18,2 @@\n" + BODY + "\n\n",
        HEAD + "@@ -18,2 +18,2 @@\n" + BODY + "-- \n2.39.5\n\n",
        (HEAD + "@@ -18,2 +18,2 @@\n" + BODY).replace("\n", "\r\n"),
        "".join("    " + line + "\n" for line in (HEAD + "@@ -18,2 +18,2 @@\n" + BODY).splitlines()),
        HEAD + "@@\n" + BODY.replace(" def rounded", "def rounded"),
        HEAD + "@@\n" + BODY.replace("prices):\n", "prices):   \n"),
        "*** Begin Patch\n*** Update File: shop.py\n@@ def rounded(prices):\n" + CHANGE + "*** End Patch\n",
        "*** Begin Patch\n*** Update File: shop.py\n" + BODY + "*** End of File\n*** End Patch\n",
    ],
)
def test_wrong_counts_missing_headers_and_wrapping_are_mended(patch: str) -> None:
    assert shop(patch) == MENDED


def test_blank_context_lines_may_lack_their_blank() -> None:
    patch = HEAD + "@@ -16,4 +16,4 @@\n     return result / len(prices)\n\n\n" + BODY
    assert shop(patch) == MENDED


def test_context_without_any_markers_is_read_as_text_and_added_lines_keep_their_indent() -> None:
    patch = HEAD + "@@\n    result = 0\n    for price in prices:\n        result += price\n+    print(result)\n"
    patch += "    return result / len(prices)\n"
    assert shop(patch) == SHOP.replace("    return result / len", "    print(result)\n    return result / len")


def test_indent_that_is_off_by_one_prefix_is_put_right() -> None:
    patch = HEAD + "@@\n-return [math.floor(price) for price in prices]\n+return [round(price) for price in prices]\n"
    assert shop(patch) == MENDED


def test_context_may_differ_in_indent_and_blank_lines_but_not_in_words() -> None:
    patch = HEAD + "@@\n   return result / len(prices)\n def rounded(prices):\n" + CHANGE
    assert shop(patch) == MENDED
    message = refused(patch.replace("len(prices)\n", "len(price)\n"))
    assert "does not fit shop.py" in message
    assert "This line of it is nowhere in the file: '  return result / len(price)'" in message


def test_wrong_context_is_refused_with_the_nearest_lines() -> None:
    message = refused(HEAD + "@@ -18,2 +18,2 @@\n def rounding(prices):\n" + CHANGE)
    assert "This line of it is nowhere in the file: 'def rounding(prices):'" in message
    assert "    19\t    return [math.floor(price) for price in prices]" in message
    assert "No file was changed" in message


TWICE = "         result += price\n+    result = float(result)\n"


def test_a_hunk_that_fits_twice_is_refused() -> None:
    message = refused(HEAD + "@@\n" + TWICE)
    assert "fits 2 places of shop.py (lines 7, 14)" in message


def doubled(which: int) -> str:
    parts = SHOP.split("        result += price\n")
    parts[which] += "        result += price\n    result = float(result)\n"
    return (
        parts[0]
        + ("" if which == 0 else "        result += price\n")
        + parts[1]
        + ("        result += price\n" if which == 0 else "")
        + parts[2]
    )


@pytest.mark.parametrize("header", ["@@ -14,1 +14,2 @@", "@@ -13,1 +13,2 @@ def mean(prices):", "@@ def mean(prices):"])
def test_line_number_or_heading_choose_between_equal_places(header: str) -> None:
    body = TWICE if "13" not in header else "     for price in prices:\n" + TWICE
    assert shop(HEAD + header + "\n" + body) == doubled(1)


def test_a_heading_that_contradicts_the_line_number_leaves_the_place_unknown() -> None:
    assert "fits 2 places" in refused(HEAD + "@@ -7,1 +7,2 @@ def mean(prices):\n" + TWICE)


def test_the_order_of_hunks_chooses_between_equal_places() -> None:
    patch = HEAD + "@@\n def mean(prices):\n-    result = 0\n+    result = 0.0\n@@\n" + TWICE
    assert shop(patch) == doubled(1).replace(
        "def mean(prices):\n    result = 0\n", "def mean(prices):\n    result = 0.0\n"
    )


def test_the_drift_of_the_other_hunks_corrects_a_line_number() -> None:
    patch = HEAD + "@@ -104,1 +104,1 @@\n-def total(prices):\n+def summed(prices):\n@@ -107,1 +107,2 @@\n" + TWICE
    assert shop(patch) == doubled(0).replace("def total", "def summed")


def test_as_many_equal_hunks_as_places_take_one_each() -> None:
    patch = HEAD + ("@@\n-        result += price\n+        result = result + price\n" * 2)
    assert shop(patch) == SHOP.replace("result += price", "result = result + price")


def test_hunks_may_come_in_any_order_and_share_context() -> None:
    patch = HEAD + "@@\n" + BODY + "@@\n-import math\n+import math as m\n \n \n def total(prices):\n"
    assert shop(patch) == MENDED.replace("import math", "import math as m")
    shared = HEAD + "@@\n def total(prices):\n-    result = 0\n+    result = 0.0\n     for price in prices:\n"
    shared += "@@\n     for price in prices:\n         result += price\n-    return result\n+    return result or 0\n"
    new = SHOP.replace("result = 0\n", "result = 0.0\n", 1).replace("return result\n", "return result or 0\n")
    assert shop(shared) == new


def test_a_hunk_may_show_what_an_earlier_one_made() -> None:
    patch = HEAD + "@@\n-import math\n+import math as m\n@@\n import math as m\n+import os\n"
    assert shop(patch) == SHOP.replace("import math\n", "import math as m\nimport os\n")


def test_a_hunk_is_not_driven_to_a_second_place_by_what_another_hunk_did_to_its_first() -> None:
    before = "if a:\n    go()\n\nif b:\n        go()\n"
    patch = "--- x\n+++ x\n@@\n if a:\n-    go()\n+    stop()\n@@\n-    go()\n+    wait()\n"
    assert "Two hunks change line 2" in refused(patch, x=before)


def test_numbers_that_are_wrong_in_several_ways_choose_nothing() -> None:
    patch = HEAD + "@@ -50,1 +50,1 @@\n-import math\n+import m\n@@ -60,2 +60,2 @@\n" + BODY
    assert "fits 2 places" in refused(patch + "@@ -14,1 +14,2 @@\n" + TWICE)


def test_two_hunks_that_change_one_line_are_refused() -> None:
    patch = HEAD + "@@\n-import math\n+import m\n@@\n-import math\n+import n\n"
    assert "Two hunks change line 1" in refused(patch)


def test_a_patch_that_is_there_already_says_so() -> None:
    done = "    return [math.floor(price) for price in prices]\n"
    message = refused(HEAD + "@@\n def rounded(prices):\n-    return []\n+" + done)
    assert "stands at line 18 already" in message


def test_a_patch_that_changes_nothing_is_refused() -> None:
    assert "changes nothing" in refused(HEAD + "@@\n-import math\n+import math\n")
    assert "no added or removed lines" in refused(HEAD + "@@\n import math\n")


def test_files_are_created_deleted_and_renamed() -> None:
    patch = (
        "diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n"
        "@@ -0,0 +1,3 @@\n+a = 1\n\n+b = 2\n"
        "diff --git a/old.py b/old.py\ndeleted file mode 100644\n--- a/old.py\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-x = 1\n"
        "diff --git a/from.py b/lib/to.py\nsimilarity index 90%\nrename from from.py\nrename to lib/to.py\n"
        "--- a/from.py\n+++ b/lib/to.py\n@@ -1,1 +1,1 @@\n-y = 1\n+y = 2\n"
        "diff --git a/pure.py b/moved.py\nsimilarity index 100%\nrename from pure.py\nrename to moved.py\n"
    )
    files = {"old.py": "x = 1\n", "from.py": "y = 1\n", "pure.py": "p\n"}
    assert apply_patch(patch, files.get) == {
        "new.py": "a = 1\n\nb = 2\n",
        "old.py": None,
        "from.py": None,
        "lib/to.py": "y = 2\n",
        "pure.py": None,
        "moved.py": "p\n",
    }


def test_the_starred_form_creates_deletes_and_moves() -> None:
    patch = (
        "*** Begin Patch\n*** Add File: new.py\n+a = 1\n*** Delete File: old.py\n"
        "*** Update File: from.py\n*** Move to: to.py\n@@\n-y = 1\n+y = 2\n*** End Patch\n"
    )
    files = {"old.py": "x = 1\n", "from.py": "y = 1\n"}
    assert apply_patch(patch, files.get) == {"new.py": "a = 1\n", "old.py": None, "from.py": None, "to.py": "y = 2\n"}


def test_all_files_or_none() -> None:
    good = HEAD + "@@\n" + BODY
    assert "other.py does not exist" in refused(good + "--- a/other.py\n+++ b/other.py\n@@\n-a\n+b\n")
    assert "does not fit" in refused("--- a/other.py\n+++ b/other.py\n@@\n-a\n+b\n" + good, **{"other.py": "c\n"})


def test_one_file_may_come_twice() -> None:
    patch = HEAD + "@@\n" + BODY + HEAD + "@@\n-import math\n+import os\n"
    assert shop(patch) == MENDED.replace("import math", "import os")


@pytest.mark.parametrize(
    "name", ["../etc/passwd", "/etc/passwd", "a/../../x", "b/../../../x", ".git/config", "x/../.git/hooks/pre-commit"]
)
def test_paths_that_leave_the_root_are_refused(name: str) -> None:
    def read(path: str) -> str | None:
        raise AssertionError(f"{path} was read")

    for patch in (f"--- {name}\n+++ {name}\n@@\n-a\n+b\n", f"--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+a\n"):
        with pytest.raises(ToolError):
            apply_patch(patch, read)


def test_a_folder_named_a_is_not_taken_for_a_prefix() -> None:
    patch = "--- a/x.py\n+++ a/x.py\n@@\n-1\n+2\n"
    assert patched(patch, **{"a/x.py": "1\n", "x.py": "1\n"}) == {"a/x.py": "2\n"}
    assert patched(patch, **{"x.py": "1\n"}) == {"x.py": "2\n"}
    assert patched("--- a/x.py\n+++ b/x.py\n@@\n-1\n+2\n", **{"a/x.py": "1\n", "x.py": "1\n"}) == {"x.py": "2\n"}


def test_names_with_blanks_and_quotes_are_read_as_git_writes_them() -> None:
    patch = '--- "a/caf\\303\\251 \\"1\\".txt"\n+++ "b/caf\\303\\251 \\"1\\".txt"\n@@ -1 +1 @@\n-1\n+2\n'
    assert patched(patch, **{'café "1".txt': "1\n"}) == {'café "1".txt': "2\n"}
    assert patched("--- a/my file.txt\n+++ b/my file.txt\n@@\n-1\n+2\n", **{"my file.txt": "1\n"}) == {
        "my file.txt": "2\n"
    }


def test_two_names_that_both_exist_are_refused() -> None:
    assert "two files that exist" in refused("--- shop.py\n+++ shap.py\n@@\n" + BODY, **{"shap.py": SHOP})


def test_creating_what_exists_and_half_deleting_are_refused() -> None:
    assert "exists already" in refused("--- /dev/null\n+++ b/shop.py\n@@ -0,0 +1 @@\n+a\n")
    assert "only some of its lines" in refused("--- a/shop.py\n+++ /dev/null\n@@\n-import math\n")
    assert "must start with `+`" in refused("--- /dev/null\n+++ b/new.py\n@@ -0,0 +1,2 @@\n+a\nb = 1\n")
    assert "cannot be renamed" in refused(
        "diff --git a/shop.py b/x.py\nrename from shop.py\nrename to x.py\n", **{"x.py": "1\n"}
    )


def test_what_is_no_patch_or_no_text_is_refused() -> None:
    assert "no patch" in refused("Please change floor to round.")
    assert "names no file" in refused("@@ -1 +1 @@\n-import math\n+import os\n")
    assert "binary" in refused("diff --git a/x.png b/x.png\nBinary files a/x.png and b/x.png differ\n")
    assert "no context" in refused(HEAD + "@@ -3,0 +4,1 @@\n+import os\n")
    assert "no context" in refused(HEAD + "@@ -3,0 +4,1 @@\n \n+import os\n")


def test_the_files_own_line_endings_stay_and_are_given_to_new_lines() -> None:
    crlf = SHOP.replace("\n", "\r\n")
    assert patched(HEAD + "@@\n" + BODY, **{"shop.py": crlf}) == {"shop.py": MENDED.replace("\n", "\r\n")}
    assert patched((HEAD + "@@\n" + BODY).replace("\n", "\r\n"), **{"shop.py": crlf}) == {
        "shop.py": MENDED.replace("\n", "\r\n")
    }
    mixed = "a\r\nb\nc\r\n"
    assert patched("--- x\n+++ x\n@@\n a\n+a2\n b\n-c\n+d\n", x=mixed) == {"x": "a\r\na2\r\nb\nd\r\n"}


def test_a_new_file_has_crlf_only_where_the_patch_means_it() -> None:
    whole = "--- /dev/null\r\n+++ b/run.bat\r\n@@ -0,0 +1 @@\r\n+echo\r\n"
    assert patched(whole) == {"run.bat": "echo\n"}
    assert patched("--- /dev/null\n+++ b/run.bat\n@@ -0,0 +1 @@\n+echo\r\n") == {"run.bat": "echo\r\n"}


@pytest.mark.parametrize(
    ("before", "body", "after"),
    [
        ("a\nb", " a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n", "a\nc"),
        ("a\nb", " a\n-b\n\\ No newline at end of file\n+c\n", "a\nc\n"),
        ("a\nb\n", " a\n-b\n+c\n\\ No newline at end of file\n", "a\nc"),
        ("a\nb", " a\n-b\n+c\n", "a\nc"),
        ("a\nb", " a\n b\n+c\n", "a\nb\nc"),
        ("a\nb", "-a\n+x\n b\n", "x\nb"),
        ("a\nb\n", " a\n-b\n", "a\n"),
        ("a\nb", " a\n-b\n\\ No newline at end of file\n", "a\n"),
        ("a\nb", " a\n-b\n\\ No newline at end of file\n+b\n", "a\nb\n"),
        ("a\n", "-a\n", ""),
        ("a\r\nb", " a\n-b\n+c\n+d\n", "a\r\nc\r\nd"),
    ],
)
def test_the_end_of_a_file_stays_as_it_was_unless_the_patch_says(before: str, body: str, after: str) -> None:
    assert patched("--- x\n+++ x\n@@\n" + body, x=before) == {"x": after}


def test_blanks_at_the_ends_of_kept_lines_survive() -> None:
    assert patched("--- x\n+++ x\n@@\n a\n-b\n-c\n+b\n+d\n", x="a  \nb\t\nc\n") == {"x": "a  \nb\t\nd\n"}


def test_removed_comments_that_look_like_headers_stay_lines() -> None:
    patch = "--- q.sql\n+++ q.sql\n@@ -1,3 +1,2 @@\n select 1;\n--- old comment\n+-- new comment\n select 2;\n"
    assert patched(patch, **{"q.sql": "select 1;\n-- old comment\nselect 2;\n"}) == {
        "q.sql": "select 1;\n-- new comment\nselect 2;\n"
    }


def test_fences_inside_a_hunk_are_lines_of_the_file() -> None:
    text = "# Use\n\n```sh\nrun\n```\n"
    patch = "```diff\n--- a/R.md\n+++ b/R.md\n@@ -1,5 +1,5 @@\n # Use\n \n ```sh\n-run\n+run --fast\n ```\n```\n"
    assert patched(patch, **{"R.md": text}) == {"R.md": text.replace("run", "run --fast")}


def test_a_large_file_is_patched_quickly_enough_for_a_person_to_wait() -> None:
    text = "".join(f"line {number}\n" for number in range(50_000))
    patch = "--- x\n+++ x\n" + "".join(
        f"@@\n line {n}\n-line {n + 1}\n+changed {n + 1}\n line {n + 2}\n" for n in range(100, 4000, 400)
    )
    result = patched(patch, x=text)["x"]
    assert result is not None
    assert result.count("changed") == 10


LINES = st.lists(st.sampled_from(["a", "b", "  a", "}", ""]), max_size=14)


@settings(max_examples=300)
@given(LINES, LINES, st.integers(0, 3), st.booleans())
def test_a_true_diff_lands_where_it_was_made_or_is_refused(
    old: list[str], new: list[str], context: int, numbered: bool
) -> None:
    before, after = ("".join(line + "\n" for line in lines) for lines in (old, new))
    diff = list(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "x", "x", n=context))
    if not numbered:
        diff = ["@@\n" if line.startswith("@@") else line for line in diff]
    try:
        result = apply_patch("".join(diff), {"x": before}.get)
    except ToolError:
        return
    assert result == {"x": after}


def test_our_own_diffs_are_applied_exactly() -> None:
    edits = [
        FileEdit("a.py", Entry(SHOP.encode()), Entry(MENDED.replace("import math", "import os\nimport math").encode())),
        FileEdit("n.py", None, Entry(b"x\ny")),
        FileEdit("d.py", Entry(b"x\ny"), None),
        FileEdit("to.py", Entry(b"1\n2\n3\n"), Entry(b"1\n2\n4"), old_path="from.py"),
    ]
    before = {edit.base_path: edit.before.content.decode() for edit in edits if edit.before}
    wanted = {edit.path: edit.after.content.decode() if edit.after else None for edit in edits}
    assert apply_patch(unified_diff(edits), before.get) == {**wanted, "from.py": None}
