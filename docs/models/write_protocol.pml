/* The protocol of one write, as two workers carry it out: one record is to be created on the other side.
 *
 * The work is there until the pair is linked. The record is `keyed` (the CRM refuses a second one under the same key) or
 * not: then only looking helps, and waiting until the CRM cannot be working on it any more.
 */
#define N 5 /* intents whose request may be under way; a finished one makes room */
#include "common.pml"

bool keyed;
byte rows; /* of this record on this side */
#define FINISHED (linked && rows == 1 && journal == 1 && open == 0)

proctype worker() {
  byte own, at;
end_idle:
  atomic { !FINISHED && TAKE }
  MAY_DIE;
  /* recover.recover: an intent without an outcome is looked up before anything is repeated */
  atomic { own = 0; do :: own < N && intent[own] != sent -> own++ :: else -> break od };
  if
  :: own == N
  :: else ->
    if
    :: rows > 0
    :: rows == 0 ->
      if
      :: keyed || SETTLED(own)
      :: else -> goto release /* recover._seconds_left > 0: the next run looks again */
      fi;
      MAY_DIE
    fi;
    if /* what the look (where one had to wait: the second one) has shown */
    :: rows > 0 -> RECORD(CLOSE(own, done); journal++; linked = true) /* recover._create: adopted */
    :: rows == 0 -> MAY_DIE; RECORD(CLOSE(own, lost))
    fi
  fi;
  MAY_DIE;
  /* creates._create_chunk, from here */
  if
  :: linked -> goto release
  :: else
  fi;
  RECORD(do :: FREE(at) -> break :: else -> at++ od; assert(at < N); OPEN(at); request[at] = nowhere)
  MAY_DIE;
  RECORD(request[at] = working) /* Session._once: Hands.renew and the deadline stand right before the bytes */
  MAY_DIE;
  if
  :: request[at] == answered /* Written; or the key exists, and the writer reads what stands under it */
  :: request[at] != working && request[at] != answered -> goto release /* Unknown: the intent stays open */
  :: late < LATE -> late++; goto release /* the same, and the CRM is still working on it */
  fi;
  MAY_DIE;
  RECORD(CLOSE(at, done); journal++; linked = true) /* creates._settle_creates */
  MAY_DIE;
release: /* leases.release */
  atomic { if :: holder == _pid -> holder = 0 :: else fi; own = 0; at = 0; goto end_idle }
taken: /* LeaseTaken: stop, write nothing, call nothing more */
  atomic { own = 0; at = 0; goto end_idle }
killed: /* leases.is_dead: its lease is anybody's */
  atomic { if :: holder == _pid -> over = true :: else fi; own = 0; at = 0; goto end_idle }
}

#define CARRY_OUT \
  if :: keyed && rows > 0 :: else -> rows++; if :: keyed :: else -> KNOWN fi; assert(rows <= 1) /* I2 */ fi

proctype server() {
end:
  do
  SERVE(0) SERVE(1) SERVE(2) SERVE(3) SERVE(4)
  od
}

proctype clock() {
end: CLOCK
}

init { atomic {
  if :: keyed = true :: keyed = false fi;
  run worker(); run worker(); run server(); run clock() } }

ltl finished { <>[] FINISHED }
