"""Share proofs: made by one implementation, checked by two that share no code, and falsified field by field."""

import hmac
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool import verify_share_proof
from mbongi.pool.errors import ProofError
from mbongi.pool.rules.proof import WORK_MAX, ShareProof, ShareTree, check_proof, decoded_proof, node_of, salt_of

SECRET = bytes(range(32))
WINDOW = "regtest:440-447"
FIVE = {"amina.rig1": 5, "bola.rig1": 7 * 10**20, "amina.rig2": 11, "chidi": 13, "désiré": 2**90}
VERIFIER = Path(verify_share_proof.__file__)


def both_check(proof: ShareProof, root: bytes) -> int:
    """The work that both implementations find proven."""
    work = check_proof(proof, root)
    verify_share_proof.verify(json.loads(proof.encoded()), root.hex())
    return work


def both_refuse(proof: ShareProof, root: bytes, match: str = ".") -> None:
    with pytest.raises(ProofError, match=match):
        check_proof(proof, root)
    with pytest.raises(ValueError, match=match):
        verify_share_proof.verify(json.loads(proof.encoded()), root.hex())


def changed(proof: ShareProof, **fields: Any) -> ShareProof:
    return msgspec.structs.replace(proof, **fields)


def test_a_tree_of_three_is_what_its_description_says() -> None:
    # Computed here from the description alone, with hashlib and hmac.
    def work(value: int) -> bytes:
        return value.to_bytes(16, "big")

    def leaf(name: bytes, value: int) -> bytes:
        lengths = len(WINDOW).to_bytes(2, "big") + WINDOW.encode() + len(name).to_bytes(2, "big") + name
        salt = hmac.new(SECRET, lengths, "sha256").digest()[:16]
        return sha256(b"\x00" + name + salt + work(value)).digest()

    a, b, c = leaf(b"a", 1), leaf(b"b", 2), leaf(b"c", 300)
    ab = sha256(b"\x01" + a + work(1) + b + work(2)).digest()
    top = sha256(b"\x01" + ab + work(3) + c + work(300)).digest()
    root = sha256(b"\x02" + WINDOW.encode() + (3).to_bytes(8, "big") + top + work(303)).digest()

    tree = ShareTree(WINDOW, {"c": 300, "a": 1, "b": 2}, SECRET)

    assert (tree.root, tree.total_work) == (root, 303)
    assert tree.proof("b").path == ((a.hex(), "1"), (c.hex(), "300"))
    assert tree.proof("c").path == ((ab.hex(), "3"),)


@pytest.mark.parametrize("count", [*range(1, 18), 100])
def test_every_worker_of_a_window_of_any_size_has_its_proof(count: int) -> None:
    work = {f"worker{number}": number**3 + 1 for number in range(count)}
    tree = ShareTree(WINDOW, work, SECRET)

    assert tree.total_work == sum(work.values())
    for worker, hashes in work.items():
        proof = tree.proof(worker)
        assert both_check(proof, tree.root) == hashes
        assert len(proof.path) <= (count - 1).bit_length()
        assert decoded_proof(proof.encoded()) == proof


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), st.integers(1, 2**100), min_size=1)
)
def test_any_window_is_proven_whatever_its_names(work: dict[str, int]) -> None:
    tree = ShareTree(WINDOW, work, SECRET)

    assert all(both_check(tree.proof(worker), tree.root) == hashes for worker, hashes in work.items())


def test_the_order_in_which_workers_are_given_plays_no_part() -> None:
    backwards = dict(reversed(FIVE.items()))

    assert ShareTree(WINDOW, FIVE, SECRET).root == ShareTree(WINDOW, backwards, SECRET).root


HEX = "00" * 32


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"format": "mbongi-share-proof-2"}, "format"),
        ({"window": "regtest:441-448"}, "not what was published"),
        ({"window": ""}, "bytes"),
        ({"root": HEX}, "published is"),
        ({"root": HEX.upper() + "AB"}, "lower-case hex"),
        ({"leaves": 6}, "."),
        ({"leaves": 7}, "."),
        ({"leaves": 8}, "."),
        ({"leaves": 4}, "."),
        ({"leaves": 0}, "."),
        ({"leaves": -5}, "."),
        ({"leaves": 2**40}, "."),
        ({"total_work": "1"}, "adds up to"),
        ({"total_work": "-1"}, "whole number"),
        ({"index": 0}, "not what was published"),
        ({"index": 4}, "."),
        ({"index": 5}, "."),
        ({"index": -1}, "."),
        ({"worker": "bola.rig2"}, "not what was published"),
        ({"worker": ""}, "bytes"),
        ({"worker": "b" * 256}, "bytes"),
        ({"salt": "00" * 16}, "not what was published"),
        ({"salt": "00" * 15}, "16 bytes"),
        ({"work": "12"}, "adds up to"),
        ({"work": "0"}, "."),
        ({"work": "-11"}, "whole number"),
        ({"work": "+11"}, "whole number"),
        ({"work": "011"}, "whole number"),
        ({"work": "11.0"}, "whole number"),
        ({"work": "١١"}, "whole number"),
        ({"work": ""}, "whole number"),
        ({"work": str(2**128)}, r"2\*\*128-1"),
        ({"work": "9" * 5000}, "whole number"),
        ({"path": ()}, "few|short"),
    ],
)
def test_a_proof_with_any_field_falsified_is_refused_by_both(fields: dict[str, Any], match: str) -> None:
    tree = ShareTree(WINDOW, FIVE, SECRET)
    proof = tree.proof("amina.rig2")
    assert both_check(proof, tree.root) == 11

    both_refuse(changed(proof, **fields), tree.root, match)


def test_a_path_with_anything_falsified_is_refused_by_both() -> None:
    tree = ShareTree(WINDOW, FIVE, SECRET)
    proof = tree.proof("amina.rig2")
    path = list(proof.path)
    assert len(path) == 3

    for place, (hash_, work) in enumerate(path):
        for forged in (
            (HEX, work),
            (hash_, str(int(work) + 1)),
            (hash_, "-" + work),
            (hash_, "0"),
            (hash_, str(WORK_MAX)),
            (hash_[:-2], work),
        ):
            both_refuse(changed(proof, path=(*path[:place], forged, *path[place + 1 :])), tree.root)
    both_refuse(changed(proof, path=tuple(path[::-1])), tree.root)
    both_refuse(changed(proof, path=tuple(path[:-1])), tree.root, "few|short")
    both_refuse(changed(proof, path=(*path, path[0])), tree.root, "many|long")


def test_work_moved_from_one_worker_to_another_does_not_go_unseen() -> None:
    tree = ShareTree(WINDOW, FIVE, SECRET)
    proof = tree.proof("amina.rig2")
    (hash_, work), *rest = proof.path

    moved = changed(proof, work="12", path=((hash_, str(int(work) - 1)), *rest))

    both_refuse(moved, tree.root, "not what was published")


def test_another_windows_proof_proves_nothing_here() -> None:
    one, other = ShareTree(WINDOW, FIVE, SECRET), ShareTree("regtest:448-455", FIVE, SECRET)

    both_refuse(one.proof("chidi"), other.root, "published is")


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(ShareProof)])
def test_a_proof_that_lacks_a_field_or_has_one_more_is_refused(name: str) -> None:
    tree = ShareTree(WINDOW, FIVE, SECRET)
    found = json.loads(tree.proof("chidi").encoded())
    for broken in ({key: value for key, value in found.items() if key != name}, found | {"more": 1}, [found]):
        with pytest.raises(ValueError, match="format"):
            verify_share_proof.verify(broken, tree.root.hex())  # type: ignore[arg-type]
        with pytest.raises(ProofError):
            decoded_proof(json.dumps(broken).encode())


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(ShareProof)])
@pytest.mark.parametrize("value", [None, True, 1.5, [], [[1, 2]], {}, 7])
def test_a_field_of_another_type_is_refused(name: str, value: object) -> None:
    tree = ShareTree(WINDOW, FIVE, SECRET)
    found = json.loads(tree.proof("chidi").encoded()) | {name: value}

    with pytest.raises((ValueError, TypeError)):
        verify_share_proof.verify(found, tree.root.hex())
    with pytest.raises(ProofError):
        check_proof(decoded_proof(json.dumps(found, sort_keys=True, separators=(",", ":")).encode() + b"\n"), tree.root)


def test_only_the_canonical_text_of_a_proof_is_taken() -> None:
    proof = ShareTree(WINDOW, FIVE, SECRET).proof("désiré")
    text = proof.encoded()

    assert (
        text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    )
    for other in (
        text[:-1],
        text + b"\n",
        b" " + text,
        text.replace(b":", b": ", 1),
        b"{" * 9000,
        b"\xff",
        b" " * 20_000,
    ):
        with pytest.raises(ProofError):
            decoded_proof(other)


@pytest.mark.parametrize(
    "work",
    [{}, {"a": 0}, {"a": -1}, {"a": 2**128}, {"a": WORK_MAX, "b": 1}, {"": 1}, {"a" * 256: 1}, {"\ud800": 1}],
)
def test_no_tree_stands_on_work_or_names_that_cannot_be(work: dict[str, int]) -> None:
    with pytest.raises(ProofError):
        ShareTree(WINDOW, work, SECRET)


def test_the_sum_of_a_node_stays_in_range() -> None:
    leaf = bytes(32)

    assert node_of((leaf, WORK_MAX - 1), (leaf, 1))[1] == WORK_MAX
    for left, right in ((WORK_MAX, 1), (-1, 5), (5, -1), (0, 5)):
        with pytest.raises(ProofError):
            node_of((leaf, left), (leaf, right))


def test_salts_differ_by_window_and_worker_and_need_a_long_secret() -> None:
    assert salt_of(SECRET, "ab", "c") != salt_of(SECRET, "a", "bc")
    with pytest.raises(ProofError):
        salt_of(b"short", "a", "b")


def test_a_worker_without_work_has_no_proof() -> None:
    with pytest.raises(ProofError, match="no work of eve"):
        ShareTree(WINDOW, FIVE, SECRET).proof("eve")


def run_verifier(*arguments: str) -> subprocess.CompletedProcess[str]:
    # -I and -S: nothing of ours or of others can be imported.
    command = [sys.executable, "-I", "-S", str(VERIFIER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def test_the_verifier_runs_alone_and_says_what_it_proves(tmp_path: Path) -> None:
    tree = ShareTree(WINDOW, FIVE, SECRET)
    file = tmp_path / "proof.json"
    file.write_bytes(tree.proof("bola.rig1").encoded())

    result = run_verifier(str(file), tree.root.hex())
    unheld = run_verifier(str(file))

    assert result.returncode == unheld.returncode == 0, result.stderr
    for part in ("PROVEN", "bola.rig1", str(7 * 10**20), str(tree.total_work), WINDOW, tree.root.hex()):
        assert part in result.stdout
    assert "compare" not in result.stdout
    assert "compare" in unheld.stdout


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"root": 1}', "nonsense"])
def test_the_verifier_refuses_what_is_no_proof_without_a_trace_of_calls(tmp_path: Path, text: str) -> None:
    file = tmp_path / "proof.json"
    file.write_text(text)

    result = run_verifier(str(file), HEX)

    assert result.returncode == 1
    assert result.stderr.startswith("NOT PROVEN: ")
    assert "Traceback" not in result.stderr


def test_the_verifier_says_when_there_is_no_file(tmp_path: Path) -> None:
    for arguments in ((str(tmp_path / "none.json"),), ()):
        assert run_verifier(*arguments).stderr.startswith("NOT PROVEN: ")


def test_the_verifier_is_short_and_imports_nothing_of_ours() -> None:
    lines = VERIFIER.read_text(encoding="utf-8").splitlines()
    imports = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}

    assert len(lines) <= 100
    assert imports <= sys.stdlib_module_names
