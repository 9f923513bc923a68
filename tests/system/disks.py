"""Small file systems in memory for state directories: they fill, and one kind breaks."""
import os
import subprocess
from pathlib import Path

from lab import wait_for

SIZE = 1536 << 20


def sh(*argv):
    subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Tmpfs:
    def __init__(self, path):
        self.path = path
        path.mkdir()
        sh("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", path)

    def fill(self):
        """Becomes as small as what is in it; refused while somebody just wrote more."""
        def shrunk():
            st = os.statvfs(self.path)
            size = (st.f_blocks - st.f_bfree) * st.f_frsize
            return subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=False,
                                  stderr=subprocess.PIPE).returncode == 0
        wait_for(shrunk, what=f"{self.path} is full")

    def clear(self):
        sh("mount", "-o", f"remount,size={SIZE}", self.path)

    def close(self):
        sh("umount", "-l", self.path)


class Ext4:
    """In a file in memory, through a loop device."""

    def __init__(self, path):
        self.path, self.image = path, Path(f"/dev/shm/rota-chaos-{os.getpid()}-{path.parent.name}")
        path.mkdir()
        with open(self.image, "wb") as f:
            f.truncate(SIZE)
        sh("mkfs.ext4", "-q", "-F", "-m0", "-E", "root_owner=0:0,lazy_itable_init=1", self.image)
        self.mount()
        os.chmod(path, 0o700)

    def mount(self):
        sh("mount", "-o", "loop,errors=remount-ro", self.image, self.path)

    def fill(self):
        st = os.statvfs(self.path)
        sh("fallocate", "-l", st.f_bavail * st.f_frsize - (64 << 10), self.path / "fill")
        with open(self.path / "fill", "ab", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass

    def clear(self):
        (self.path / "fill").unlink()

    def break_it(self):
        source = subprocess.run(["findmnt", "-no", "SOURCE", self.path], check=True, text=True,
                                stdout=subprocess.PIPE).stdout.strip()
        Path("/sys/fs/ext4", os.path.basename(source), "trigger_fs_error").write_text("1")

    def mend(self):
        # sometimes somebody looks, for a moment
        wait_for(lambda: subprocess.run(["umount", self.path], check=False, stderr=subprocess.PIPE).returncode
                 == 0, what=f"{self.path} is not used")
        # as a new disk: somebody's mount namespace, made meanwhile, may keep the broken one alive
        old, self.image = self.image, Path(f"{self.image}+")
        sh("cp", "--sparse=always", old, self.image)
        old.unlink()
        done = subprocess.run(["e2fsck", "-p", self.image], check=False, stdout=subprocess.PIPE)
        assert done.returncode < 4, done
        self.mount()
        (self.path / "writable").touch()
        (self.path / "writable").unlink()

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=False)
        self.image.unlink()
