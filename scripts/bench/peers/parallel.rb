# Ruby's parallel in the cases that it can do: parallel.rb CASE KEY=VALUE...
require "parallel"

OPTIONS = ARGV.drop(1).to_h { |word| key, value = word.split("="); [key, value.to_i] }
N = OPTIONS["n"]
WORKERS = OPTIONS.fetch("workers", 2)

def say(word)
  puts word
  $stdout.flush
  $stdin.gets
end

def timed
  say "begin"
  yield
  say "end"
end

case ARGV[0]
when "map"
  xs = (1..N).to_a
  timed { Parallel.map(xs, in_processes: WORKERS) { |x| 2 * x + 1 } }
when "echo"
  text = "x" * OPTIONS["bytes"]
  i = 0
  source = -> { (i += 1) <= N ? text : Parallel::Stop }
  timed { Parallel.map(source, in_processes: WORKERS) { |x| x } }
when "start"
  t = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  Parallel.map((1..WORKERS).to_a, in_processes: WORKERS) { |x| 2 * x + 1 }
  puts "ms #{(Process.clock_gettime(Process::CLOCK_MONOTONIC) - t) * 1e3}"
end
