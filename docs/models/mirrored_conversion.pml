/* One mirrored conversion: the lead of one side is converted, and the other CRM is told to convert its own.
 *
 * The guard is the lead itself: a converted one is not converted again. But a person may open it again (Dynamics), and
 * then only the intents, the ledger and the wait keep a second set of account, contact and opportunity from being made.
 * A person may also convert the target's lead before us; then what came of it is taken (C9).
 */
#define N 3 /* calls that may be under way; a finished one makes room */
#include "common.pml"

mtype = { absent, planned, called, settled }; /* the ledger's row, UNIQUE (lead link, epoch): ConversionRow.state */
mtype ledger = absent;
byte pre_version[N];                     /* Intent.pre_version */
bool converted; byte version;            /* the target's lead */
byte made, by_person;                    /* sets of rows made of it, by us and by a person */
bool reopened, edited;
#define FINISHED (ledger == settled && linked && open == 0 && made + by_person == 1)
/* converted.found_converted, or opened again since we last knew it (recover._undone_since) */
#define THERE(one) (converted || (version != pre_version[one] && made > 0))
/* converted.finish: ledger, links, base and journal in one transaction */
#define FINISH ledger = settled; linked = true; journal++

proctype worker() {
  byte own, seen;
end_idle:
  atomic { !FINISHED && TAKE }
  MAY_DIE;
  /* recover.recover */
  atomic { own = 0; do :: own < N && intent[own] != sent -> own++ :: else -> break od };
  if
  :: own == N
  :: else ->
    if
    :: THERE(own)
    :: !THERE(own) ->
      if
      :: SETTLED(own)
      :: else -> goto release /* recover._seconds_left > 0 */
      fi;
      MAY_DIE
    fi;
    if /* what the look (where one had to wait: the second one) has shown */
    :: THERE(own) -> RECORD(CLOSE(own, done); FINISH) /* recover._convert: adopted */
    :: !THERE(own) -> MAY_DIE; RECORD(CLOSE(own, lost); ledger = planned) /* recover._planned_again */
    fi
  fi;
  MAY_DIE;
  atomic { /* observe.observe, and the plan */
    seen = version;
    if
    :: ledger == settled -> goto release /* opened since: C11, a person is told */
    :: ledger != settled && converted -> RECORD(FINISH); goto release /* convert.adopt: C9 */
    :: else
    fi }
  /* convert.mirror: intent and ledger row in one transaction */
  RECORD(own = 0; do :: FREE(own) -> break :: else -> own++ od; assert(own < N);
         OPEN(own); pre_version[own] = seen; request[own] = nowhere; ledger = called)
  MAY_DIE;
  atomic { /* Connector.convert looks first: what is converted is adopted, what has changed is Stale */
    if
    :: converted -> RECORD(CLOSE(own, done); FINISH); goto release
    :: !converted && version != seen -> RECORD(CLOSE(own, lost); ledger = planned); goto release
    :: else
    fi }
  RECORD(request[own] = working) /* Session._once: Hands.renew and the deadline stand right before the bytes */
  MAY_DIE;
  if
  :: request[own] == answered
  :: request[own] != working && request[own] != answered -> goto release /* Unknown: the intent stays open */
  :: late < LATE -> late++; goto release
  fi;
  MAY_DIE;
  RECORD(CLOSE(own, done); FINISH) /* convert._after_call -> finish */
  MAY_DIE;
release:
  atomic { if :: holder == _pid -> holder = 0 :: else fi; own = 0; seen = 0; goto end_idle }
taken:
  atomic { own = 0; seen = 0; goto end_idle }
killed:
  atomic { if :: holder == _pid -> over = true :: else fi; own = 0; seen = 0; goto end_idle }
}

#define CARRY_OUT \
  if :: converted :: else -> converted = true; version++; made++; KNOWN; assert(made + by_person <= 1) /* I3 */ fi

proctype server() {
end:
  do
  SERVE(0) SERVE(1) SERVE(2)
  od
}

proctype person() { /* converts the target's lead before us, opens it again after us, or edits it */
end:
  do
  :: atomic { !converted && made == 0 && by_person == 0 -> converted = true; version++; by_person = 1 }
  :: atomic { converted && made == 1 && !reopened -> reopened = true; converted = false; version++ }
  :: atomic { !converted && !edited -> edited = true; version++ }
  od
}

proctype clock() {
end: CLOCK
}

init { atomic { run worker(); run worker(); run server(); run person(); run clock() } }

ltl finished { <>[] FINISHED }
