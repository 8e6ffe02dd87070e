"""Python's pools in the cases of the benchmark.

pool.py pool|executor CASE KEY=VALUE...   (see cases.lua for the cases)
"""
import concurrent.futures
import multiprocessing
import os
import sys
import time


def twice(x):
    return 2 * x + 1


def same(x):
    return x


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def nap(seconds):
    time.sleep(seconds)


def say(word):
    """A line for launch, which answers."""
    print(word, flush=True)
    sys.stdin.readline()


def timed(body):
    say("begin")
    body()
    say("end")


class Pool:
    def __init__(self, workers):
        self.pool = multiprocessing.Pool(workers)

    def map(self, f, xs, chunk=None):
        return self.pool.map(f, xs, chunk)

    def imap(self, f, xs, chunk):
        return self.pool.imap_unordered(f, xs, chunk)

    def apply(self, f, x):
        return self.pool.apply(f, (x,))

    def submit(self, f, x):
        return self.pool.apply_async(f, (x,))

    def fetch(self, result):
        return result.get()

    def end(self):
        self.pool.close()
        self.pool.join()


class Executor:
    def __init__(self, workers):
        self.pool = concurrent.futures.ProcessPoolExecutor(workers)

    def map(self, f, xs, chunk=None):
        return list(self.pool.map(f, xs, chunksize=chunk or 1))

    def imap(self, f, xs, chunk):
        return self.pool.map(f, xs, chunksize=chunk)

    def apply(self, f, x):
        return self.pool.submit(f, x).result()

    def submit(self, f, x):
        return self.pool.submit(f, x)

    def fetch(self, result):
        return result.result()

    def end(self):
        self.pool.shutdown()


def run_map(make, o):
    pool = make(o["workers"])
    xs = list(range(o["n"]))
    pool.map(twice, xs[:1000], o.get("chunk"))
    timed(lambda: pool.map(twice, xs, o.get("chunk")))
    pool.end()


def eat(results, want):
    count = sum(1 for _ in results)
    assert count == want, count


def run_imap(make, o):
    pool = make(o["workers"])
    eat(pool.imap(twice, range(200), o["chunk"]), 200)
    timed(lambda: eat(pool.imap(twice, (i for i in range(o["n"])), o["chunk"]), o["n"]))
    pool.end()


def run_apply(make, o):
    pool, took = make(o["workers"]), []
    for i in range(100):
        pool.apply(twice, i)

    def body():
        for i in range(o["n"]):
            t = time.perf_counter_ns()
            pool.apply(twice, i)
            took.append(time.perf_counter_ns() - t)
    timed(body)
    took.sort()
    print("p50", took[len(took) // 2] / 1e3)
    print("p99", took[len(took) * 99 // 100] / 1e3)
    pool.end()


def run_async(make, o):
    pool = make(o["workers"])
    pool.map(twice, list(range(100)), 1)

    def body():
        results = [pool.submit(twice, i) for i in range(o["n"])]
        for result in results:
            pool.fetch(result)
    timed(body)
    pool.end()


def echoes(pool, value, n):
    eat(pool.imap(same, (value for _ in range(n)), 1), n)


def run_echo(make, o):
    pool, text = make(o["workers"]), b"x" * o["bytes"]
    echoes(pool, text, o["warm"])
    timed(lambda: echoes(pool, text, o["n"]))
    pool.end()


def run_records(make, o):
    pool = make(o["workers"])
    records = [{"id": i, "name": "user_%05d" % i, "score": i / 7,
                "tags": ["red%d" % i, "green%d" % i, "blue%d" % i]} for i in range(1000)]
    echoes(pool, records, 4)
    timed(lambda: echoes(pool, records, o["n"]))
    pool.end()


def run_fib(make, o):
    pool = make(o["workers"])
    xs = [18 + i * 5 % 13 for i in range(o["n"])]
    pool.map(fib, [5] * 100, 1)
    timed(lambda: pool.map(fib, xs, o.get("chunk")))
    pool.end()


def run_start(make, o):
    heap = [b"%d" % i + b"x" * (1 << 20) for i in range(o.get("heap", 0))]
    if heap:
        os.popen("exit").close()
    t = time.perf_counter()
    pool = make(o["workers"])
    pool.map(twice, list(range(o["workers"])), 1)
    pool.end()
    print("ms", (time.perf_counter() - t) * 1e3)
    del heap


def run_idle(make, o):
    pool = make(o["workers"])
    pool.map(twice, list(range(100)), 1)
    time.sleep(0.3)
    say("idle")
    pool.end()


def run_nap(make, o):
    pool = make(o["workers"])
    pool.map(twice, list(range(2 * o["workers"])), 1)
    timed(lambda: pool.map(nap, [o["us"] * 1e-6] * o["n"], o.get("chunk")))
    pool.end()


CURVE_S, REPEATS = 0.3, 3


def point(x, amount, body):
    """The median rate of body, which does `amount`."""
    rates = []
    for _ in range(REPEATS):
        t, n = time.perf_counter(), 0
        while n == 0 or time.perf_counter() - t < CURVE_S / REPEATS:
            body()
            n += 1
        rates.append(amount * n / (time.perf_counter() - t))
    print("point", x, "%.6g" % sorted(rates)[REPEATS // 2], flush=True)


def steps(most, factor, first=1):
    while first <= most:
        yield first
        first *= factor


def run_curve_items(make, o):
    pool = make(o["workers"])
    for n in steps(o["n"], 10, 1000):
        point(n, n, lambda: pool.map(twice, range(n)))
    pool.end()


def run_curve_stream(make, o):
    pool = make(o["workers"])
    for n in steps(o["n"], 10, 1000):
        point(n, n, lambda: eat(pool.imap(twice, (i for i in range(n)), 1), n))
    pool.end()


def run_curve_payload(make, o):
    pool = make(o["workers"])
    for size in steps(o["bytes"], 4):
        text = b"x" * size
        n = max(4, min(300, (16 << 20) // size))
        echoes(pool, text, 2)
        point(size, n * size / 1e6, lambda: echoes(pool, text, n))
    pool.end()


def run_curve_workers(make, o):
    for workers in steps(o["workers"], 2):
        pool = make(workers)
        n = max(500, min(5000, workers * 100))
        pool.map(nap, [o["us"] * 1e-6] * n)
        point(workers, n, lambda: pool.map(nap, [o["us"] * 1e-6] * n))
        pool.end()


def main():
    make = {"pool": Pool, "executor": Executor}[sys.argv[1]]
    options = {"workers": 2}
    for word in sys.argv[3:]:
        key, value = word.split("=")
        options[key] = int(value)
    globals()["run_" + sys.argv[2].replace("-", "_")](make, options)


if __name__ == "__main__":
    main()
