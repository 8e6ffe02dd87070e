# Perl's MCE in the cases that it can do: mce.pl CASE KEY=VALUE...
use strict;
use warnings;
use Time::HiRes ();
use MCE::Map;

my ($case, @words) = @ARGV;
my %o = (workers => 2, map { split /=/ } @words);

sub say_word {
    $| = 1;
    print "$_[0]\n";
    scalar <STDIN>;
}

MCE::Map->init(max_workers => $o{workers}, chunk_size => $o{chunk} || "auto");
if ($case eq "map") {
    my @xs = (1 .. $o{n});
    mce_map { 2 * $_ + 1 } 1 .. 100;
    say_word("begin");
    my @ys = mce_map { 2 * $_ + 1 } \@xs;
    say_word("end");
    die "results" unless @ys == $o{n};
} elsif ($case eq "start") {
    my $t = Time::HiRes::time();
    my @ys = mce_map { 2 * $_ + 1 } 1 .. $o{workers};
    MCE::Map->finish;
    printf "ms %.3f\n", (Time::HiRes::time() - $t) * 1e3;
}
MCE::Map->finish;
