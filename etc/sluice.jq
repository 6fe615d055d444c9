# Filters for streams of sluice that keep the marks, without which a sink behind a filter cannot know where it
# stands (sluice-stream(5)):
#
#	kread -t TX -e --marks | jq -c 'include "sluice"; keep(.payload.amount > 500)' | partition | jsonl-sink lake/

def is_mark: has("mark");

# Only marks; only what is no mark.
def marks: select(is_mark);
def records: select(is_mark | not);

# All marks, and the records for which f holds, or does not.
def keep(f): select(is_mark or f);
def drop(f): select(is_mark or (f | not));

def is_tombstone: .payload_enc == "none";

# Changes payloads that are JSON; a bare object is its own. Text, bytes and tombstones stay as they are.
def map_payload(f):
	if is_mark or has("payload_enc") or has("broker") then .
	elif has("payload") then .payload |= f
	else f end;
