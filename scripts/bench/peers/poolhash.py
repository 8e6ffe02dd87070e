"""What a Python user writes to hash a tree: poolhash.py DIRECTORY"""
import hashlib
import multiprocessing
import os
import sys


def mark(name):
    with open(name, "rb") as file:
        return name, hashlib.file_digest(file, "sha512").hexdigest()


def files(top):
    for folder, _, names in os.walk(top):
        for name in names:
            yield os.path.join(folder, name)


if __name__ == "__main__":
    chunk = int(sys.argv[2])
    with multiprocessing.Pool(2) as pool:
        for name, digest in pool.imap_unordered(mark, files(sys.argv[1]), chunk):
            print(digest, "", name)
