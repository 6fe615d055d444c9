/*
 * Every record draws from a generator of its own (rng_at), so its content does not depend on the
 * ones before; only the totals of the changelogs do. Texts in the tables are valid inside JSON quotes.
 */
#include "field.h"

#include "clock.h"
#include "rng.h"

#include <stdlib.h>

#define ARRAY_SIZE(a)   (sizeof(a) / sizeof((a)[0]))
#define ADD(b, literal) buf_add((b), literal, sizeof(literal) - 1)

#define DAY_MS    INT64_C(86400000)
#define HOUR_MS   INT64_C(3600000)
#define WINDOW_MS (5 * INT64_C(60000))

static const char *const kind_names[FIELD_KINDS] = {
	[FIELD_TRANSACTIONS] = "transactions",
	[FIELD_SALES] = "sales",
	[FIELD_REFERENCE] = "reference",
	[FIELD_BLACKLIST] = "blacklist",
	[FIELD_USER_TOTALS] = "user-totals",
	[FIELD_TYPE_TOTALS] = "type-totals",
	[FIELD_WINDOWS] = "windows",
};

struct entry {
	struct span code, label;
};

#define PURCHASE 0 /* index in types */

static const struct entry types[] = {
	{ SPAN("purchase"), SPAN("Achat") },
	{ SPAN("transfer"), SPAN("Virement") },
	{ SPAN("withdrawal"), SPAN("Retrait") },
	{ SPAN("refund"), SPAN("Remboursement") },
	{ SPAN("subscription"), SPAN("Abonnement") },
};

static const struct entry methods[] = {
	{ SPAN("card"), SPAN("Carte bancaire") },
	{ SPAN("paypal"), SPAN("PayPal") },
	{ SPAN("bank_transfer"), SPAN("Virement bancaire") },
	{ SPAN("cash"), SPAN("Espèces") },
	{ SPAN("cheque"), SPAN("Chèque") },
	{ SPAN("apple_pay"), SPAN("Apple Pay") },
};

static const struct entry reasons[] = {
	{ SPAN("fraud"), SPAN("Fraude avérée") },
	{ SPAN("chargeback"), SPAN("Impayés répétés") },
	{ SPAN("identity"), SPAN("Pièce d'identité refusée") },
	{ SPAN("limit"), SPAN("Plafond dépassé") },
};

struct city {
	struct span name, country, currency;
};

static const struct city cities[] = {
	{ SPAN("Paris"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Orléans"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Besançon"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Nîmes"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Saint-Étienne"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Angoulême"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Évry"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("L'Haÿ-les-Roses"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Lyon"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Marseille"), SPAN("FR"), SPAN("EUR") },
	{ SPAN("Liège"), SPAN("BE"), SPAN("EUR") },
	{ SPAN("München"), SPAN("DE"), SPAN("EUR") },
	{ SPAN("Málaga"), SPAN("ES"), SPAN("EUR") },
	{ SPAN("Αθήνα"), SPAN("GR"), SPAN("EUR") },
	{ SPAN("Genève"), SPAN("CH"), SPAN("CHF") },
	{ SPAN("Malmö"), SPAN("SE"), SPAN("SEK") },
	{ SPAN("Łódź"), SPAN("PL"), SPAN("PLN") },
	{ SPAN("Reykjavík"), SPAN("IS"), SPAN("ISK") },
	{ SPAN("Montréal"), SPAN("CA"), SPAN("CAD") },
	{ SPAN("東京"), SPAN("JP"), SPAN("JPY") },
};

struct product {
	struct span code, label, category;
	int64_t cents;
};

static const struct product products[] = {
	{ SPAN("P001"), SPAN("Café moulu 1 kg"), SPAN("épicerie"), 1250 },
	{ SPAN("P002"), SPAN("Thé vert bio"), SPAN("épicerie"), 690 },
	{ SPAN("P003"), SPAN("Crème brûlée (x4)"), SPAN("épicerie"), 495 },
	{ SPAN("P004"), SPAN("Écran 27 pouces"), SPAN("informatique"), 22990 },
	{ SPAN("P005"), SPAN("Clavier mécanique"), SPAN("informatique"), 8900 },
	{ SPAN("P006"), SPAN("Disque SSD 1 To"), SPAN("informatique"), 10499 },
	{ SPAN("P007"), SPAN("Écouteurs sans fil"), SPAN("audio"), 5999 },
	{ SPAN("P008"), SPAN("Platine vinyle"), SPAN("audio"), 18900 },
	{ SPAN("P009"), SPAN("Vélo électrique"), SPAN("sport"), 159900 },
	{ SPAN("P010"), SPAN("Tapis de yoga"), SPAN("sport"), 2490 },
	{ SPAN("P011"), SPAN("Poêle en fonte"), SPAN("maison"), 4550 },
	{ SPAN("P012"), SPAN("Lampe à poser"), SPAN("maison"), 3705 },
	{ SPAN("P013"), SPAN("Roman de poche"), SPAN("livres"), 810 },
	{ SPAN("P014"), SPAN("Bande dessinée"), SPAN("livres"), 1499 },
	{ SPAN("P015"), SPAN("Pâte à modeler"), SPAN("jouets"), 1 },
};

struct total {
	int64_t cents, records;
};

struct field {
	struct field_plan plan;
	int64_t done;
	int64_t step, rest; /* span of time per record: quotient and remainder */
	struct total *totals;
	size_t total_count;
	int64_t window; /* start of the one that totals are of */
	struct buf key, payload;
	int64_t day; /* the day whose date is in `date` */
	char date[CLOCK_ISO_SIZE];
};

/* One drawn payment: transactions are printed from it, changelogs and windows summed up. */
struct payment {
	int64_t number, ts, event_ts, cents;
	uint32_t user, type, method, product, city, quantity;
	bool failed;
};

const char *field_name(enum field_kind kind)
{
	return kind_names[kind];
}

enum field_kind field_find(const char *name)
{
	int k = 0;

	while (k < FIELD_KINDS && strcmp(kind_names[k], name) != 0)
		k++;
	return (enum field_kind)k;
}

bool field_keyed(enum field_kind kind)
{
	return kind >= FIELD_BLACKLIST;
}

struct field *field_open(const struct field_plan *plan)
{
	struct field *f = xcalloc(1, sizeof(*f));

	f->plan = *plan;
	f->day = -1;
	f->window = -1;
	if (plan->count > 0) {
		f->step = plan->days * DAY_MS / plan->count;
		f->rest = plan->days * DAY_MS % plan->count;
	}
	f->total_count = plan->kind == FIELD_USER_TOTALS ? (size_t)plan->users : ARRAY_SIZE(types);
	f->totals = xcalloc(f->total_count, sizeof(*f->totals));
	return f;
}

void field_close(struct field *f)
{
	free(f->totals);
	buf_release(&f->key);
	buf_release(&f->payload);
	free(f);
}

/* ---- text ---- */

static void add_digits(struct buf *b, uint64_t v, int width)
{
	char tmp[20];
	int n = sizeof(tmp);

	do {
		tmp[--n] = (char)('0' + v % 10);
		v /= 10;
		width--;
	} while (v > 0 || width > 0);
	buf_add(b, tmp + n, sizeof(tmp) - (size_t)n);
}

/* Two digits behind the point, always: 12.50. */
static void add_cents(struct buf *b, int64_t cents)
{
	add_digits(b, (uint64_t)cents / 100, 1);
	buf_add_char(b, '.');
	add_digits(b, (uint64_t)cents % 100, 2);
}

static void add_user(struct buf *b, uint32_t user)
{
	buf_add_char(b, 'U');
	add_digits(b, user, 6);
}

/* The date is converted once a day, not once a record. */
static void add_time(struct field *f, struct buf *b, int64_t ms, char between)
{
	int64_t day = ms / DAY_MS, in_day = ms % DAY_MS;

	if (day != f->day) {
		clock_format_iso(f->date, ms);
		f->day = day;
	}
	buf_add(b, f->date, 10);
	buf_add_char(b, between);
	add_digits(b, (uint64_t)(in_day / HOUR_MS), 2);
	buf_add_char(b, ':');
	add_digits(b, (uint64_t)(in_day / 60000 % 60), 2);
	buf_add_char(b, ':');
	add_digits(b, (uint64_t)(in_day / 1000 % 60), 2);
	if (between == 'T') {
		buf_add_char(b, '.');
		add_digits(b, (uint64_t)(in_day % 1000), 3);
		buf_add_char(b, 'Z');
	}
}

/* Closes the object, before that pads it to the size asked for. */
static void finish_object(struct field *f, struct buf *b)
{
	static const char filler[] = "the quick brown fox jumps over the lazy dog and ";
	const size_t frame = sizeof(",\"note\":\"\"}") - 1;
	size_t left, n;

	if ((size_t)f->plan.size > b->len + frame) {
		left = (size_t)f->plan.size - b->len - frame;
		ADD(b, ",\"note\":\"");
		for (; left > 0; left -= n) {
			n = left < sizeof(filler) - 1 ? left : sizeof(filler) - 1;
			buf_add(b, filler, n);
		}
		buf_add_char(b, '"');
	}
	buf_add_char(b, '}');
}

/* ---- drawing ---- */

static int64_t send_time(const struct field *f, struct rng *rng)
{
	int64_t base = f->done * f->step + f->done * f->rest / f->plan.count;
	uint32_t jitter = f->step > 1
	    ? rng_below(rng, f->step < UINT32_MAX ? (uint32_t)f->step : UINT32_MAX)
	    : 0;

	return f->plan.start_ms + base + jitter;
}

/* Some users buy far more often than others: the square of a uniform number. */
static uint32_t draw_user(const struct field *f, struct rng *rng)
{
	uint64_t u = rng_below(rng, 1 << 16), n = (uint64_t)f->plan.users;
	uint64_t low = u * u * n >> 32, high = (u + 1) * (u + 1) * n >> 32;

	return (uint32_t)(low + rng_below(rng, high > low ? (uint32_t)(high - low) : 1)) + 1;
}

static struct payment draw_payment(const struct field *f, struct rng *rng)
{
	struct payment p = { .number = f->plan.first + f->done };
	uint32_t dice;

	p.ts = p.event_ts = send_time(f, rng);
	if (rng_below(rng, 100) < 2) /* late: an hour to a day and a half */
		p.event_ts -= HOUR_MS + rng_below(rng, (uint32_t)(35 * HOUR_MS));
	if (p.event_ts < 0)
		p.event_ts = 0;
	p.user = draw_user(f, rng);
	dice = rng_below(rng, 100);
	p.type = dice < 60 ? 0 : dice < 75 ? 1 : dice < 87 ? 2 : dice < 93 ? 3 : 4;
	p.method = rng_below(rng, ARRAY_SIZE(methods));
	p.product = rng_below(rng, ARRAY_SIZE(products));
	p.city = rng_below(rng, ARRAY_SIZE(cities));
	p.quantity = 1 + rng_below(rng, 5);
	p.failed = rng_below(rng, 100) < 3;
	p.cents = p.type == PURCHASE ? products[p.product].cents * p.quantity
				     : 100 + rng_below(rng, 200000);
	return p;
}

/* ---- the kinds ---- */

static void print_transaction(struct field *f, const struct payment *p, struct buf *b)
{
	ADD(b, "{\"transaction_id\":\"T");
	add_digits(b, (uint64_t)p->number, 7);
	ADD(b, "\",\"user_id\":\"");
	add_user(b, p->user);
	ADD(b, "\",\"amount\":");
	add_cents(b, p->cents);
	ADD(b, ",\"currency\":\"");
	buf_add_span(b, cities[p->city].currency);
	ADD(b, "\",\"type\":\"");
	buf_add_span(b, types[p->type].code);
	ADD(b, "\",\"payment_method\":\"");
	buf_add_span(b, methods[p->method].code);
	ADD(b, "\",\"product\":\"");
	buf_add_span(b, products[p->product].label);
	ADD(b, "\",\"quantity\":");
	add_digits(b, p->quantity, 1);
	ADD(b, ",\"city\":\"");
	buf_add_span(b, cities[p->city].name);
	ADD(b, "\",\"country\":\"");
	buf_add_span(b, cities[p->city].country);
	ADD(b, "\",\"timestamp\":\"");
	add_time(f, b, p->event_ts, 'T');
	if (p->failed)
		ADD(b, "\",\"status\":\"failed\"");
	else
		ADD(b, "\",\"status\":\"ok\"");
	finish_object(f, b);
}

static void print_sale(struct field *f, const struct payment *p, struct buf *b)
{
	ADD(b, "{\"id_vente\":");
	add_digits(b, (uint64_t)p->number, 1);
	ADD(b, ",\"produit\":\"");
	buf_add_span(b, products[p->product].label);
	ADD(b, "\",\"quantite\":");
	add_digits(b, p->quantity, 1);
	ADD(b, ",\"prix_unitaire\":");
	add_cents(b, products[p->product].cents);
	ADD(b, ",\"ville\":\"");
	buf_add_span(b, cities[p->city].name);
	ADD(b, "\",\"date_vente\":\"");
	add_time(f, b, p->event_ts, ' ');
	buf_add_char(b, '"');
	finish_object(f, b);
}

static void print_blacklisting(struct field *f, const struct payment *p, struct buf *b)
{
	const struct entry *reason = &reasons[p->product % ARRAY_SIZE(reasons)];

	ADD(b, "{\"reason\":\"");
	buf_add_span(b, reason->code);
	ADD(b, "\",\"label\":\"");
	buf_add_span(b, reason->label);
	ADD(b, "\",\"severity\":");
	add_digits(b, p->quantity, 1);
	ADD(b, ",\"blacklisted_at\":\"");
	add_time(f, b, p->ts, 'T');
	buf_add_char(b, '"');
	finish_object(f, b);
}

static void print_total(struct field *f, const struct payment *p, const struct total *t, struct buf *b)
{
	ADD(b, "{\"total_amount\":");
	add_cents(b, t->cents);
	ADD(b, ",\"transaction_count\":");
	add_digits(b, (uint64_t)t->records, 1);
	if (f->plan.kind == FIELD_WINDOWS) {
		ADD(b, ",\"window_start\":\"");
		add_time(f, b, f->window, 'T');
		ADD(b, "\",\"window_end\":\"");
		add_time(f, b, f->window + WINDOW_MS, 'T');
	} else {
		ADD(b, ",\"last_transaction\":\"");
		add_time(f, b, p->ts, 'T');
	}
	buf_add_char(b, '"');
	finish_object(f, b);
}

static void add_big_endian(struct buf *b, uint64_t v)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		buf_add_char(b, (char)(v >> shift));
}

static void next_total(struct field *f, const struct payment *p, struct field_record *r)
{
	size_t slot = f->plan.kind == FIELD_USER_TOTALS ? p->user - 1 : p->type;
	struct total *t = &f->totals[slot];

	if (f->plan.kind == FIELD_WINDOWS && p->ts - p->ts % WINDOW_MS != f->window) {
		f->window = p->ts - p->ts % WINDOW_MS;
		memset(f->totals, 0, f->total_count * sizeof(*f->totals));
	}
	if (f->plan.kind == FIELD_USER_TOTALS) {
		add_user(&f->key, p->user);
	} else {
		buf_add_span(&f->key, types[p->type].code);
		if (f->plan.kind == FIELD_WINDOWS)
			add_big_endian(&f->key, (uint64_t)f->window);
	}
	r->binary = f->plan.kind == FIELD_WINDOWS;
	if (r->tombstone) {
		*t = (struct total){ 0 };
		return;
	}
	t->cents += p->cents;
	t->records++;
	print_total(f, p, t, &f->payload);
}

static void print_entry(struct field *f, const char *class, struct span code, struct span label)
{
	buf_addf(&f->key, "%s/", class);
	buf_add_span(&f->key, code);
	buf_addf(&f->payload, "{\"class\":\"%s\",\"code\":\"", class);
	buf_add_span(&f->payload, code);
	ADD(&f->payload, "\",\"label\":\"");
	buf_add_span(&f->payload, label);
	buf_add_char(&f->payload, '"');
}

static bool next_reference(struct field *f)
{
	size_t i = (size_t)f->done;

	if (i < ARRAY_SIZE(types)) {
		print_entry(f, "type", types[i].code, types[i].label);
	} else if ((i -= ARRAY_SIZE(types)) < ARRAY_SIZE(methods)) {
		print_entry(f, "payment_method", methods[i].code, methods[i].label);
	} else if ((i -= ARRAY_SIZE(methods)) < ARRAY_SIZE(cities)) {
		print_entry(f, "city", cities[i].name, cities[i].name);
		ADD(&f->payload, ",\"country\":\"");
		buf_add_span(&f->payload, cities[i].country);
		ADD(&f->payload, "\",\"currency\":\"");
		buf_add_span(&f->payload, cities[i].currency);
		buf_add_char(&f->payload, '"');
	} else if ((i -= ARRAY_SIZE(cities)) < ARRAY_SIZE(products)) {
		print_entry(f, "product", products[i].code, products[i].label);
		ADD(&f->payload, ",\"category\":\"");
		buf_add_span(&f->payload, products[i].category);
		ADD(&f->payload, "\",\"price\":");
		add_cents(&f->payload, products[i].cents);
	} else {
		return false;
	}
	finish_object(f, &f->payload);
	return true;
}

static void next_payment(struct field *f, struct field_record *r)
{
	struct rng rng = rng_at(f->plan.seed, f->plan.kind, (uint64_t)(f->plan.first + f->done));
	struct payment p = draw_payment(f, &rng);

	r->ts = p.ts;
	r->has_key = f->plan.kind != FIELD_SALES;
	r->tombstone = field_keyed(f->plan.kind) && rng_below(&rng, 100) < f->plan.tombstones;
	switch (f->plan.kind) {
	case FIELD_SALES:
		print_sale(f, &p, &f->payload);
		break;
	case FIELD_TRANSACTIONS:
		add_user(&f->key, p.user);
		print_transaction(f, &p, &f->payload);
		break;
	case FIELD_BLACKLIST:
		add_user(&f->key, p.user);
		if (!r->tombstone)
			print_blacklisting(f, &p, &f->payload);
		break;
	default:
		next_total(f, &p, r);
	}
}

bool field_next(struct field *f, struct field_record *r)
{
	*r = (struct field_record){ .ts = f->plan.start_ms, .has_key = true };
	if (f->done == f->plan.count)
		return false;
	buf_clear(&f->key);
	buf_clear(&f->payload);
	if (f->plan.kind != FIELD_REFERENCE)
		next_payment(f, r);
	else if (!next_reference(f))
		return false;
	f->done++;
	r->key = buf_span(&f->key);
	r->payload = buf_span(&f->payload);
	return true;
}
