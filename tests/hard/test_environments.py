"""Every command where the machine is difficult: what comes out is right, or one sentence says why not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vdsrlib.imaging.image_file import read_image, save_image

pytestmark = [pytest.mark.hard, pytest.mark.skipif(sys.platform == "win32", reason="for POSIX systems")]

TINY = "--width 2 --batch-size 2 --patch-size 8 --steps 3"
TRAIN = f"train --data-path photos --ckpt-path run --store store --depth 2 {TINY}"
STUDY = f"study depth --values 2,3 --seeds 1 {TINY} --runs-path studies --out study.json"
UPSCALE = "upscale photos large --scale 2 --weights tiny.safetensors --backend torch"
FEATURES = "features photos/a.png maps --scale 2 --weights tiny.safetensors"
COMMANDS = [UPSCALE, TRAIN, STUDY, FEATURES]


@pytest.fixture
def place(tmp_path, photo, tiny):
    save_image(tmp_path / "photos/a.png", photo[:60, :72])
    save_image(tmp_path / "photos/b.png", photo[:72, :60])
    shutil.copy(tiny, tmp_path / "tiny.safetensors")
    return tmp_path


@pytest.fixture
def run(place, cli_environment):
    """Run a command in the folder: its result, with stdout and stderr as text."""

    def run(line, *flags, before=(), cwd=place, **environment):
        return subprocess.run(
            [*before, sys.executable, *flags, "-m", "vdsrlib", *line.split()],
            cwd=cwd,
            env={**cli_environment, "OMP_NUM_THREADS": "1", "VDSR_DATA": "", **environment},
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=120,
        )

    return run


def check_sentence(done, status=2):
    """One sentence on stderr, in the house form."""
    assert done.returncode == status, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("vdsrlib: "), done.stderr[-2000:]


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("flags", [("-W", "error"), ("-OO",)], ids=["warnings are errors", "without asserts"])
def test_flags_of_python(run, line, flags):
    done = run(line, *flags)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("line", COMMANDS)
def test_long_temporary_folder_and_locale_c(run, place, line):
    """A socket's path has 108 bytes; the locale C has no accents."""
    long = place / ("t" * 120)
    long.mkdir()
    shutil.copy(place / "photos/a.png", place / "photos/été 写真.png")
    done = run(line, TMPDIR=str(long), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stderr) == (0, "")
    if line == UPSCALE:
        assert read_image(place / "large/été 写真.png").shape == (120, 144, 3)


def in_mounts(*mounts):
    """What runs a command in a name space of its own, with small disks; skips where that is forbidden."""
    script = " && ".join(f"mount -t tmpfs -o size={size} tmpfs {where}" for where, size in mounts)
    probe = ["unshare", "-m", "sh", "-c", f"{script} && true"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("needs the right to mount, which root has")
    return ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh"]


def test_small_shared_memory(run):
    done = run(TRAIN, before=in_mounts(("/dev/shm", "64k")))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "where", "size"),
    [
        (UPSCALE, "large", "16k"),
        (TRAIN, "store", "20k"),
        (TRAIN, "run", "16k"),
        (STUDY, "studies", "16k"),
        (FEATURES, "maps", "8k"),
    ],
)
def test_full_disk(run, place, line, where, size):
    """The status is not 0, a sentence names the place, and no part of a file is left."""
    (place / where).mkdir()
    keep = f"cp -a {where}/. kept/; exit $status"
    (place / "kept").mkdir()
    *unshare, script, name = in_mounts((place / where, size))
    script = script.replace('exec "$@"', f'{{ "$@"; status=$?; {keep}; }}')
    done = run(f"{line} --force" if line in (UPSCALE, FEATURES) else line, before=[*unshare, script, name])
    assert done.returncode in (1, 2), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert not [path for path in (place / "kept").rglob("*") if path.name.startswith(".part-")]
    for path in (place / "kept").rglob("*.png"):
        read_image(path)  # what is there is whole


def test_folder_that_refuses_modes(run, place):
    """vfat, CIFS and WSL refuse chmod; strace refuses it here for every file."""
    refusing = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, "-e", "trace=chmod,fchmod,fchmodat"]
    refusing += ["-e", "inject=chmod,fchmod,fchmodat:error=EPERM"]
    if not shutil.which("strace") or subprocess.run([*refusing, "true"], capture_output=True).returncode:
        pytest.skip("needs strace")
    for line in COMMANDS:
        done = run(line, before=refusing)
        assert (done.returncode, done.stderr) == (0, ""), line
    assert Path(place / "run/weights.safetensors").is_file()
