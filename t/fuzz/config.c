/*
 * libFuzzer target for lib/kafka: a configuration file, against a reader of its own; and that nothing of a line that
 * is wrong is quoted: it may be a password.
 */
#include "kafka.h"

#include "fuzz.h"

static const char *trim(struct span *s)
{
	while (s->n > 0 && strchr(" \t\r", s->p[0]) && s->p[0])
		s->p++, s->n--;
	while (s->n > 0 && strchr(" \t\r", s->p[s->n - 1]) && s->p[s->n - 1])
		s->n--;
	return s->p;
}

/* What is wrong with the line; NULL: nothing. *key is empty for one that says nothing. */
static const char *expect(struct span line, struct span *key, struct span *value)
{
	const char *eq;

	*key = *value = (struct span){ 0 };
	trim(&line);
	if (line.n == 0 || line.p[0] == '#')
		return NULL;
	if (memchr(line.p, '\0', line.n))
		return "a NUL byte";
	eq = memchr(line.p, '=', line.n);
	if (!eq)
		return "not key=value";
	*key = (struct span){ line.p, (size_t)(eq - line.p) };
	*value = (struct span){ eq + 1, line.n - key->n - 1 };
	trim(key);
	trim(value);
	if (span_is(*key, "metadata.broker.list"))
		*key = SPAN("bootstrap.servers");
	return key->n == 0 ? "no key before =" : NULL;
}

/* The pair at *i, or the message, is what this line should give. False: the line is wrong. */
static bool check_line(const struct kafka_config *c, size_t *i, struct span line, const char *from)
{
	struct span key, value;
	const char *wrong = expect(line, &key, &value);
	struct buf message = BUF_INIT;

	if (wrong) {
		buf_addf(&message, "%s: %s", from, wrong);
		must(strcmp(fail_message(), buf_cstr(&message)) == 0,
		    "a wrong line is told, and no more");
		must(fail_code() == EXIT_CONFIG && *i == c->pairs, "reading ends there");
		buf_release(&message);
	} else if (key.n > 0) {
		must(*i < c->pairs, "no setting is lost");
		must(span_is(key, c->pair[*i].key) && span_is(value, c->pair[*i].value),
		    "a setting is what stands there");
		must(strcmp(c->pair[*i].from, from) == 0, "and tells where");
		++*i;
	}
	return !wrong;
}

static void check_last_counts(const struct kafka_config *c)
{
	for (size_t i = 0; i < c->pairs; i++) {
		const char *value = c->pair[i].value;

		for (size_t k = i + 1; k < c->pairs; k++)
			if (strcmp(c->pair[k].key, c->pair[i].key) == 0)
				value = c->pair[k].value;
		must(strcmp(kafka_config_get(c, c->pair[i].key), value) == 0,
		    "the last setting counts");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct take t = { data, n };
	const char *path = memory_path(take_rest(&t));
	struct kafka_config c = KAFKA_CONFIG_INIT;
	struct buf from = BUF_INIT;
	bool good = true;
	size_t i = 0;
	int result;

	setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
	unsetenv("SLUICE_BROKERS");
	kafka_config_file(&c, path);
	result = kafka_config_load(&c);
	while (i < c.pairs && strncmp(c.pair[i].from, path, strlen(path)) != 0)
		i++; /* the default, and the machine's own */
	t = (struct take){ data, n };
	for (unsigned long line = 1; good && t.n > 0; line++) {
		buf_clear(&from);
		buf_addf(&from, "%s:%lu", path, line);
		good = check_line(&c, &i, take_line(&t), buf_cstr(&from));
	}
	must(good == (result == 0) && i == c.pairs, "a file is read to its end or refused");
	if (c.pairs < 100)
		check_last_counts(&c);
	kafka_config_release(&c);
	buf_release(&from);
	return 0;
}
