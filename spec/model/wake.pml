/*
** wake.pml - who is woken for a task: submit, claim, look, doze, rest, sleep and
** wake of host/table.c; any worker may be killed before any step of its own.
**
**   make model      (needs spin)
**
** A step is one access to shared memory.  Tasks but the first SHORT run until
** all have been claimed: a task that nobody is woken for, while somebody sleeps,
** is an invalid end.  Who is woken while there is work may have come late.  A task is begun once, and lost only with its worker.
** With -DBUG=n there is one of these faults, which has to be found:
**
**   2 a death wakes nobody for what is left   3 no look between `idle` and sleep
**   5 repair before the worker is reaped      6 claim and attribution apart
**   8 the bits of the dead stay               9 who claims wakes no next one
**  10 a dozer does not look by himself       11 a late waker leaves the bit set
**  12 whom the dead had not woken yet sleeps on
**  13 no look between `idle` and sleep on    14 who rests does not look by himself
*/
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef TASKS
#define TASKS 3
#endif
#ifndef SHORT
#define SHORT 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef BUG
#define BUG 0
#endif

#define NOBODY 9
mtype = { FREE, READY, CLAIMED, DONE, LOST };

/* slots; the ring's cell i is task i */
mtype state[TASKS] = FREE;
byte owner[TASKS] = NOBODY;
bool quick[TASKS];
byte head, tail;

/* bitmaps: a load sees all of one */
bool idle[WORKERS], awake[WORKERS], dozing[WORKERS];
byte rests = NOBODY; /* who; in table.c a time that passes */
bool futex[WORKERS] = true;
bool stop;

/* what is not there in truth */
bool dead[WORKERS], gone[WORKERS];
byte begun[TASKS], kills, claimed;
bool killed_with[TASKS], ended;

#if WORKERS == 2
#define ANY(b) (b[0] || b[1])
#define COUNT(b) (b[0] + b[1])
#else
#define ANY(b) (b[0] || b[1] || b[2])
#define COUNT(b) (b[0] + b[1] + b[2])
#endif

/* The lowest one that is idle: bit, then futex. */
inline wake_one() {
  if
  :: atomic { idle[0] -> idle[0] = false }; futex[0] = true
  :: atomic { !idle[0] && idle[1] -> idle[1] = false }; futex[1] = true
#if WORKERS > 2
  :: atomic { !idle[0] && !idle[1] && idle[2] -> idle[2] = false }; futex[2] = true
#endif
  :: else
  fi
}

/* Unless somebody rests, or dozes while the task is a quick one. */
inline wake_for(t) {
  if
  :: rests != NOBODY
  :: else -> wake_unless_dozing(t)
  fi
}

inline wake_unless_dozing(t) {
  if
  :: quick[t] && ANY(dozing) ->
     if
     :: COUNT(idle) < WORKERS
     :: else -> wake_one()
     fi
  :: else -> wake_one()
  fi
}

#define WANTED (head < tail || stop)
#define UNCLAIMED (head < tail && !stop)

/* Who finds nothing to do ends it. */
inline rouse_rester() {
  r = rests;
  if
  :: r != NOBODY -> rests = NOBODY; futex[r] = true
  :: else
  fi;
  r = 0
}

proctype Worker(byte me) {
  byte h, r;
  bool got, dozes, looked;
  {
claim:
    do
    :: h = head;
       if
       :: h >= tail -> break
       :: else
       fi;
#if BUG == 6
       d_step { got = state[h] == READY; if :: got -> state[h] = CLAIMED; begun[h]++; claimed++ :: else fi };
       if :: got -> owner[h] = me :: else fi;
#else
       d_step { got = state[h] == READY; if :: got -> state[h] = CLAIMED; owner[h] = me; begun[h]++; claimed++ :: else fi };
#endif
       d_step { if :: head == h -> head++ :: else fi };
       if
       :: got ->
          dozes = quick[h];
#if BUG != 9
          if
          :: head < tail -> wake_for(h)
          :: else
          fi;
#endif
          h < SHORT || claimed >= TASKS; /* it runs */
          state[h] = DONE
       :: else
       fi;
       d_step { got = false; h = 0 }
    od;
    h = 0;
    if
    :: stop -> goto leave
    :: else
    fi;
    if /* once it may look for a while first */
    :: true
    :: !looked ->
       looked = true;
       awake[me] = true;
       if
       :: WANTED -> awake[me] = false; goto claim
       :: true -> awake[me] = false
       fi
    fi;
    futex[me] = false;
    idle[me] = true;
#if BUG != 3
    if
    :: WANTED -> idle[me] = false; goto claim
    :: else
    fi;
#endif
    if
    :: dozes ->
       dozing[me] = true;
       if
       :: !WANTED && !futex[me] ->
#if BUG == 10
          futex[me]
#else
          skip /* until it is woken, or for a moment */
#endif
       :: else
       fi;
       dozing[me] = false;
       if
       :: WANTED -> idle[me] = false; goto claim
       :: else
       fi
    :: else
    fi;
    rouse_rester();
end_asleep:
    futex[me];
#if BUG != 11
    idle[me] = false;
#endif
woken:
    if
    :: true -> goto claim
    :: UNCLAIMED -> /* it came late */
       futex[me] = false;
       atomic {
         if
         :: rests == NOBODY -> got = true
         :: rests != NOBODY -> got = true /* its time has passed */
         :: rests != NOBODY
         fi;
         if :: got -> rests = me :: else fi
       };
       if
       :: !got -> /* another one rests: it sleeps on */
sleep_on:
          idle[me] = true;
#if BUG != 13
          if
          :: rests != NOBODY && !stop -> goto end_asleep
          :: else -> idle[me] = false; goto woken
          fi
#else
          goto end_asleep
#endif
       :: else ->
          got = false;
resting:
#if BUG == 14
          futex[me];
#else
          if
          :: UNCLAIMED -> skip /* until it is roused, or for a moment */
          :: else
          fi;
#endif
          if
          :: rests == me && UNCLAIMED -> wake_one(); goto resting /* some more */
          :: rests != me && rests != NOBODY -> goto sleep_on
          :: true
          fi;
          if :: rests == me -> rests = NOBODY :: else fi;
          if
          :: head < tail -> wake_one() /* others did not suffice */
          :: true
          fi;
          goto claim
       fi
    fi;
leave:
end_left:
    false
  } unless { dead[me] -> gone[me] = true }
}

proctype Supervisor() {
  byte w, t;
end_waiting:
  do
  :: ended -> break
  :: atomic {
       kills < KILLS && !ended ->
       kills++;
       w = 0;
       do :: w < WORKERS - 1 -> w++ :: break od;
       t = 0;
       do
       :: t < TASKS -> if :: state[t] == CLAIMED && (owner[t] == w || BUG == 6) -> killed_with[t] = true :: else fi; t++
       :: else -> break
       od;
       t = 0;
#if BUG != 5
       dead[w] = true
     };
     gone[w];
#else
     };
#endif
     do
     :: t < TASKS ->
        if
        :: state[t] == CLAIMED && owner[t] == w -> state[t] = LOST
        :: else
        fi;
        t++
     :: else -> break
     od;
     t = 0;
#if BUG != 8
     idle[w] = false;
     awake[w] = false;
     dozing[w] = false;
     if :: rests == w -> rests = NOBODY :: else fi;
#endif
#if BUG == 5
     dead[w] = true;
     gone[w];
#endif
     futex[w] = true;
#if BUG != 12
     if :: !idle[0] -> futex[0] = true :: else fi;
     if :: !idle[1] -> futex[1] = true :: else fi;
#if WORKERS > 2
     if :: !idle[2] -> futex[2] = true :: else fi;
#endif
#endif
#if BUG != 2
     if :: head < tail -> wake_one() :: else fi;
     if :: head + 1 < tail -> wake_one() :: else fi;
#endif
     d_step { gone[w] = false; dead[w] = false };
     if
     :: run Worker(w)
     :: SHORT >= TASKS /* none can be forked */
     fi;
     w = 0
  od
}

proctype Parent() {
  byte t, w;
  bool holds;
  if :: holds = true :: holds = false fi; /* several before it wakes one */
  do
  :: t < TASKS ->
     if :: quick[t] = true :: quick[t] = false fi;
     state[t] = READY;
     tail++;
     if
     :: holds && t < TASKS - 1
     :: else ->
        if
        :: ANY(awake)
        :: else -> wake_for(t)
        fi
     fi;
     t++
  :: t == TASKS -> break
  od;
  claimed == TASKS;
  stop = true;
  do
  :: w < WORKERS -> idle[w] = false; futex[w] = true; w++
  :: else -> break
  od;
  skip;
  d_step {
    t = 0;
    do
    :: t < TASKS ->
       assert(begun[t] == 1 && (state[t] != LOST || killed_with[t]));
       t++
    :: else -> break
    od
  };
  ended = true
}

init {
  atomic {
    byte i = 0;
    do :: i < WORKERS -> run Worker(i); i++ :: else -> break od;
    run Supervisor();
    run Parent()
  }
}
