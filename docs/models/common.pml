/* What both models share: the bounds, the switches, and the store's lease and intents.
 *
 * Every statement that is not within one `atomic` may be the last one of a worker that is killed, and any pause between
 * two may outlast the lease: the worker that goes on then is a zombie. Taken out by -D: NO_INTENT (state.intents.open_),
 * NO_FENCE (state.leases.guard), NO_SETTLE (sync.recover._seconds_left). ONLY_DOUBLES: I11 is not looked at.
 */
#ifndef CRASHES
#define CRASHES 2 /* kills of a worker; another process starts in its place */
#endif
#define LOSSES  1 /* requests or answers that the network loses */
#define LATE    1 /* answers that come after the deadline of the call */
#define ENDS    1 /* leases that end while their worker lives, but stands still */

mtype = { none, sent, done, lost };           /* an intent: state.words.Intent.state */
mtype = { nowhere, working, answered, gone }; /* a request, as the CRM and the network have it */

byte holder; bool over;            /* the lease. It stands for the fence too: a worker takes it only while it has none */
mtype intent[N]; byte open;        /* open: intents without an outcome */
mtype request[N];
byte journal; bool linked;
byte crashes, losses, late, ends;

#define FREE(one) (one < N && intent[one] != sent && request[one] != working)
#define TAKE (holder == 0 || over) -> holder = _pid; over = false /* Engine._running -> leases.take */
#define MAY_DIE if :: crashes < CRASHES -> crashes++; goto killed :: true fi

#ifdef NO_INTENT
#define OPEN(one) intent[one] = lost
#define CLOSE(one, how) intent[one] = how
#else
#define OPEN(one) intent[one] = sent; open++
#define CLOSE(one, how) intent[one] = how; open--
#endif

#ifdef NO_FENCE
#define MINE true
#else
#define MINE (holder == _pid)
#endif

#ifdef NO_SETTLE
#define SETTLED(one) true
#else /* sent_at + settle is over: what was sent was carried out, or never will be */
#define SETTLED(one) (request[one] != working)
#endif

#ifdef ONLY_DOUBLES
#define FENCED true
#else
#define FENCED assert(holder == _pid) /* I11: no store write under an older fence */
#endif
#if defined(NO_INTENT) || defined(NO_SETTLE) || defined(ONLY_DOUBLES)
#define KNOWN true
#else
#define KNOWN assert(open > 0 || journal > 0) /* I2: nothing is made by us that the store does not know of */
#endif

/* Hands.record -> Store.apply -> leases.guard: all of it in one transaction, or LeaseTaken. */
#define RECORD(what) atomic { if :: MINE -> FENCED; what :: else -> goto taken fi }

/* The CRM and the network: carrying out and answering are two events, and each may come late or not at all. */
#define SERVE(one) \
  :: atomic { request[one] == working -> CARRY_OUT; request[one] = answered } \
  :: atomic { request[one] == working && losses < LOSSES -> losses++; request[one] = gone } \
  :: atomic { request[one] == working && losses < LOSSES -> losses++; CARRY_OUT; request[one] = gone }

#define CLOCK do :: atomic { holder != 0 && !over && ends < ENDS -> ends++; over = true } od
