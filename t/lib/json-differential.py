#!/usr/bin/env python3
"""json-differential VALIDATOR COUNT [SEED]: COUNT mutated texts, judged by VALIDATOR and by Python's
json module made strict. Prints the disagreements and "COUNT texts, N valid, M dumps compared"; exit 1
when there are any.

VALIDATOR is t/tool/json-valid.c or speaks as it does.
"""

import json
import random
import re
import struct
import subprocess
import sys

BATCH = 20000
DUMP_EVERY = 20  # one batch in so many is also compared in what was read
DEPTH = 100
SMALL = 28  # so many of the seeds are inserted into others

SEEDS = [
    b'null', b'true', b'false', b'0', b'-0', b'12.50', b'-1.5e+10', b'1E-400', b'9007199254740993',
    b'""', b'"text"', b'[]', b'{}', b' [ ] ', b'\t{\r\n}\n', b'[[],{}]', b'[1,2,3]', b'[ 1 , "a" , null ]',
    b'{"a":1}', b'{"a":{"b":{"c":[]}}}', b'{"":"","a":1,"a":2}', b'[{"a":[{"b":[{}]}]}]',
    b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\u0000\\u00e9\\uFFFF"', b'"\\ud83d\\ude00 \\uD834\\uDD1E"',
    '"é € 😀 \u2028 日本語"'.encode(), '{"clé":"Saint-Étienne"}'.encode(), b'"\x7f"',
    b'{"topic":"TX","partition":0,"offset":42,"tstype":"create","ts":1763697600123,'
    b'"headers":["trace","a1","k",null],"key":"U000123","payload":{"amount":12.50,"ok":true}}',
    '{"path":"streams/TX/year=2026","topic":"TX","partition":3,"offset":9,"payload_enc":"utf8",'
    '"payload":"ligne\\n\\"cité\\" \\ud83d\\ude00"}'.encode(),
    b'{"mark":{"kind":"position","topic":"TX","partition":0,"offset":43,"last":{"offset":42,"ts":1}}}',
    b'[0,-0,1,-1,0.5,-0.5,1e1,1E+1,1e-1,0e0,123456789012345678901234567890]',
    b'{"a" : [ 1 , 2 , { "b" : "0123456789abcdef0123456789abcdef" } ] ,\n  "c" : false }',
    b'[' * 100 + b']' * 100, b'[' * 101 + b']' * 101, b'{"a":' * 99 + b'[]' + b'}' * 99,
    b'{"a":' * 100 + b'[]' + b'}' * 100, b'[[' * 49 + b'1' + b']]' * 49,
]

PIECES = [
    b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b' ', b'\n', b'\r', b'\t', b'\0', b'\x1f', b'\x7f', b'/',
    b'0', b'1', b'9', b'-', b'+', b'.', b'e', b'E', b'00', b'1.', b'.5', b'1e5', b'-1', b'1e', b'null', b'true',
    b'false', b'nul', b'NaN', b'Infinity', b'-Infinity', b'""', b'"a"', b'"a":', b',"a":1', b',1', b'[]', b'{}',
    b'\\n', b'\\"', b'\\\\', b'\\/', b'\\u', b'\\u0041', b'\\u00e9', b'\\u0000', b'\\ud83d\\ude00', b'\\ud800',
    b'\\udc00', b'\\uD83D', b'\\uDE00', b'\\ud83d\\ud83d', b'\\x', b'\\a', b"'", b'\xc3\xa9', b'\xe2\x82\xac',
    b'\xf0\x9f\x98\x80', b'\xed\xa0\x80', b'\xc0\x80', b'\xf4\x90\x80\x80', b'\xc3', b'\x80', b'\xff',
    b'\xef\xbb\xbf', b'\xc2\xa0', b'\xe2\x80\xa8', b'\v', b'\f', b'0123456789abcdef', b'//', b'/**/', b'#',
]


class Invalid(ValueError):
    """What Python's json accepts and RFC 8259 (or our reading of it) does not."""


class Number(str):
    """A number as it stands in the text."""


def no_constant(name):
    raise Invalid(name)


DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=Number, parse_float=Number,
                           parse_constant=no_constant)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
SURROGATE = re.compile(r'\\u[dD][89a-fA-F]')


def depth(text):
    """How many containers are open at most, counted over what is left without the strings."""
    now = most = 0
    for c in STRING.sub('', text):
        if c in '[{':
            now += 1
            most = max(most, now)
        elif c in ']}':
            now -= 1
    return most


def add_string(out, s):
    encoded = s.encode()  # a lone surrogate has no UTF-8: UnicodeEncodeError
    out.append(b's%d:%s' % (len(encoded), encoded))


def add(out, value):
    """What json-valid -d prints for a value."""
    if isinstance(value, Number):
        out.append(b'n%s;' % value.encode())
    elif isinstance(value, str):
        add_string(out, value)
    elif isinstance(value, list):
        out.append(b'[')
        for element in value:
            add(out, element)
        out.append(b']')
    elif isinstance(value, tuple):
        out.append(b'{')
        for name, member in value:
            add_string(out, name)
            add(out, member)
        out.append(b'}')
    else:
        out.append({True: b't', False: b'f', None: b'z'}[value])


def parse(data, dump):
    """The dump of a valid text (b'' without dump); None when it is not valid."""
    try:
        text = data.decode()
        if text.startswith('\ufeff'):
            raise Invalid('byte order mark')
        blanks = ' \t\n\r'
        start = len(text) - len(text.lstrip(blanks))
        value, end = DECODER.raw_decode(text, start)
        if text[end:].strip(blanks):
            raise Invalid('trailing text')
        if text.count('[') + text.count('{') > DEPTH and depth(text) > DEPTH:
            raise Invalid('too deep')
        out = []
        if dump or SURROGATE.search(text):
            add(out, value)
        return b''.join(out) if dump else b''
    except (ValueError, RecursionError):  # JSONDecodeError, UnicodeError and Invalid are ValueErrors
        return None


def mutate(rng, text):
    """One to three small changes."""
    below = rng.random
    for _ in range(1 + int(below() * below() * 3)):
        at = int(below() * (len(text) + 1))
        kind = int(below() * 8)
        if kind == 0:
            text = text[:at] + text[at + 1:]
        elif kind == 1:
            text = text[:at] + bytes((int(below() * 256),)) + text[at + 1:]
        elif kind == 2:
            text = text[:at] + bytes((text[at] ^ (1 << int(below() * 8)),)) + text[at + 1:] if at < len(text) else text
        elif kind == 3:
            end = at + int(below() * 8)
            text = text[:end] + text[at:end] + text[end:]
        elif kind == 4:
            other = SEEDS[int(below() * len(SEEDS))]
            text = text[:at] + other[int(below() * len(other)):]
        elif kind == 5:
            text = text[:at] + SEEDS[int(below() * SMALL)] + text[at:]
        else:
            piece = PIECES[int(below() * len(PIECES))]
            text = text[:at] + piece + text[at + (kind - 6) * len(piece):]
    return text


def pick(rng, pool):
    return pool[int(rng.random() * (len(pool) if rng.random() < 0.7 else len(SEEDS)))]


def remember(rng, pool, text):
    """Valid mutants are mutated further, so that the texts wander away from the seeds."""
    if len(text) < 400:
        if len(pool) < 3000:
            pool.append(text)
        else:
            pool[len(SEEDS) + int(rng.random() * (3000 - len(SEEDS)))] = text


def judge(validator, batch, dump):
    """The validator's verdicts: bytes (its dump, or b'') or None for each text."""
    data = b''.join(struct.pack('<I', len(text)) + text for text in batch)
    out = subprocess.run([validator] + ['-d'] * dump, input=data, stdout=subprocess.PIPE, check=True).stdout
    if not dump:
        verdicts = [b'' if verdict else None for verdict in out]
    else:
        verdicts, at = [], 0
        while at < len(out):
            valid, at = out[at], at + 1
            if valid:
                size = struct.unpack_from('<I', out, at)[0]
                verdicts.append(out[at + 4:at + 4 + size])
                at += 4 + size
            else:
                verdicts.append(None)
    if len(verdicts) != len(batch):
        sys.exit('json-differential: %d verdicts for %d texts' % (len(verdicts), len(batch)))
    return verdicts


def main():
    validator, count = sys.argv[1], int(sys.argv[2])
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    pool = list(SEEDS)
    done = valid = dumped = wrong = 0
    while done < count:
        batch = [mutate(rng, pick(rng, pool)) for _ in range(min(BATCH, count - done))]
        dump = done // BATCH % DUMP_EVERY == 0
        for text, theirs in zip(batch, judge(validator, batch, dump)):
            ours = parse(text, dump)
            if ours is not None:
                valid += 1
                dumped += dump
                remember(rng, pool, text)
            if ours != theirs:
                wrong += 1
                if wrong <= 20:
                    print('disagreement on %r: Python says %r, the scanner %r' % (text, ours, theirs))
        done += len(batch)
    print('%d texts, %d valid, %d dumps compared, %d disagreements' % (done, valid, dumped, wrong))
    return wrong > 0


sys.exit(main())
