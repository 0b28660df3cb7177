"""Ways to break an answer of the API: its JSON, its bytes, its framing, its headers.

mutate(answer, random) changes an Answer in place, by what the random.Random says, and returns the
names of what it did.
"""

import gzip
import json
import zlib

SIZE_LIMIT = 4 << 20


class Answer:
    """What the proxy will send. `raw`, if set, is sent instead of everything else."""

    def __init__(self, status, headers, body):
        self.status_line = b"HTTP/1.1 %d Status" % status
        self.headers = headers
        self.body = body
        self.length = None          # the Content-Length that is announced; None: the right one
        self.chunks = None          # the body as it is sent with Transfer-Encoding: chunked
        self.close = False          # afterwards
        self.delimited = False      # by closing, without any length
        self.delay = 0              # seconds, before the answer
        self.drip = 0               # seconds, between bytes of the body's end
        self.raw = None

    @property
    def content_type(self):
        return dict((n.lower(), v) for n, v in self.headers).get(b"content-type", b"")


# ---- JSON as a tree that can be wrong: objects are lists of pairs, Raw is text as it is

class Object(list):
    pass


class Raw(bytes):
    pass


def parse(body):
    return json.loads(body, object_pairs_hook=Object, parse_float=lambda text: Raw(text.encode()))


def write(node, out):
    if isinstance(node, Raw):
        out.append(node)
    elif isinstance(node, Object):
        out.append(b"{")
        for i, (key, value) in enumerate(node):
            out.append(b"," if i else b"")
            write(key, out)
            out.append(b":")
            write(value, out)
        out.append(b"}")
    elif isinstance(node, list):
        out.append(b"[")
        for i, value in enumerate(node):
            out.append(b"," if i else b"")
            write(value, out)
        out.append(b"]")
    else:
        out.append(json.dumps(node, ensure_ascii=False).encode())


def places(node, found):
    """All (container, index) below this node, and the node's containers."""
    if isinstance(node, list) and not isinstance(node, Raw):
        for i, value in enumerate(node):
            found.append((node, i))
            places(value[1] if isinstance(node, Object) else value, found)
    return found


def put(place, value):
    container, i = place
    container[i] = (container[i][0], value) if isinstance(container, Object) else value


def get(place):
    container, i = place
    return container[i][1] if isinstance(container, Object) else container[i]


VALUES = [
    # valid, but not what is expected
    b"null", b"true", b"false", b"0", b"-1", b"1", b"-0.0", b"0.5", b"1e308", b"1e309", b"-1e999",
    b"1e-400", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809",
    b"18446744073709551615", b"18446744073709551616", b"123456789012345678901234567890",
    b"1" * 400, b"0." + b"3" * 400, b"1E+2", b"-0", b"4294967296", b"2147483648", b"1e15",
    b'""', b'" "', b'"0"', b'"-1"', b'"NaN"', b'"Infinity"', b'"-inf"', b'"1e3x"', b'"0x10"',
    b'"9223372036854775808"', b'"1e400"', b'"' + b"9" * 200000 + b'"', b'" 12 "', b'"1_000"',
    b'"2026-13-45T99:99:99Z"', b'"2026-06-01T12:00:00.000Z"', b'"infinity"', b'"-infinity"',
    b'"epoch"', b'"now"', b'"294277-01-01T00:00:00Z"', b'"4714-01-01T00:00:00Z BC"', b'"allballs"',
    b'"\\u0000"', b'"a\\u0000b"', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\uffff"',
    b'"\\ud83d\\ude00"', b'"' + b"x" * 100000 + b'"', b'"%s%n%d"', b"\"';--\"", b'"../../v1"',
    b'"{}"', b'"[1,2"', b'"{1,2}"', b'"\\n\\t\\r\\b\\f\\/"', b'"\xe2\x80\xae\xef\xbb\xbf"',
    b'"pg7myrd1j06p3gx4zrm2ze8qz6"', b'"00000000-0000-0000-0000-000000000000"', b'"orders"',
    b"[]", b"{}", b"[[]]", b"[null]", b'{"":null}', b'[1,"a",{}]', b'{"key":{"key":[]}}',
    b"[" + b"0," * 100000 + b"0]", b"[" + b"{}," * 50000 + b"{}]",
    # invalid UTF-8
    b'"\xff\xfe"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xf4\x90\x80\x80"',
    b'"\xe2\x82"', b'"a\x80b"', b'"\x00"', b'"\x01\n"', b'"' + b"\xff" * 10000 + b'"',
    # no JSON
    b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b".5", b"1.", b"1e", b"--1", b"'x'", b"undefined",
    b"tru", b'"open', b"/* x */ 1", b"// x\n1", b"[1,]", b"{,}", b'{"a"}', b'{"a":}', b'{1:2}',
    b"", b"\\", b'"\\x41"', b'"\\u12"', b'"\\u"', b"]", b"}", b"\xef\xbb\xbf1",
]


def swap_values(tree, found, random):
    for _ in range(random.choice((1, 1, 1, 2, 5, 50))):
        put(random.choice(found), Raw(random.choice(VALUES)))


def nest(tree, found, random):
    depth = random.choice((3, 8, 30, 31, 32, 33, 100, 2000, 100000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
    value = opening * depth + b"1" + closing * random.choice((depth, depth, depth - 1))
    put(random.choice(found), Raw(value))


def duplicate_keys(tree, found, random):
    objects = [c for c, _ in found if isinstance(c, Object)]
    if not objects:
        return
    for _ in range(random.choice((1, 3, 20))):
        target = random.choice(objects)
        key, value = random.choice(target)
        pair = (key, random.choice((value, Raw(random.choice(VALUES)))))
        target.insert(random.randrange(len(target) + 1), pair)


def drop(tree, found, random):
    for _ in range(random.choice((1, 2, 10))):
        container, i = random.choice(found)
        if i < len(container):
            del container[i]


def multiply(tree, found, random):
    container, i = random.choice(found)
    out = []
    write(container[i] if not isinstance(container, Object) else container[i][1], out)
    size = 1 + sum(map(len, out))
    container[i:i + 1] = [container[i]] * min(random.choice((2, 10, 1000, 20000)), SIZE_LIMIT // size + 1)


def exchange(tree, found, random):
    one, two = random.choice(found), random.choice(found)
    out = []
    write(get(one), out)
    text_of_one = Raw(b"".join(out))
    out = []
    write(get(two), out)
    put(one, Raw(b"".join(out)))
    put(two, text_of_one)


def rename_keys(tree, found, random):
    objects = [c for c, _ in found if isinstance(c, Object) and len(c)]
    for _ in range(random.choice((1, 1, 10))):
        if not objects:
            return
        target = random.choice(objects)
        i = random.randrange(len(target))
        key, value = target[i]
        key = key if isinstance(key, str) else "key"
        target[i] = (random.choice((
            key.upper(), key + "\0", "\0", "", key * 2, key + " ", "x" * 100000,
            Raw(b'"' + key.encode() + b'\\u0000z"'), Raw(b'"\xff"'), Raw(b"1"), Raw(b"null"))), value)


def flood_keys(tree, found, random):
    objects = [c for c, _ in found if isinstance(c, Object)]
    if objects:
        prefix = random.choice(("k", "result", "\u20ac"))
        random.choice(objects).extend((prefix + str(i), i) for i in range(random.choice((100, 20000))))


TREE_MUTATIONS = [swap_values] * 4 + [
    nest, duplicate_keys, drop, drop, multiply, exchange, rename_keys, flood_keys]


def mutate_tree(answer, random):
    try:
        tree = parse(answer.body)
    except ValueError:
        return mutate_bytes(answer, random)
    found = places([tree], [])
    mutation = random.choice(TREE_MUTATIONS)
    root = [tree]
    found = places(root, [])
    mutation(root, found, random)
    out = []
    for node in root:
        write(node, out)
    answer.body = b"".join(out)
    return mutation.__name__


# ---- Bytes

def flip(body, random):
    body = bytearray(body)
    for _ in range(random.choice((1, 1, 2, 8, 200))):
        if body:
            body[random.randrange(len(body))] ^= 1 << random.randrange(8)
    return bytes(body)


def cut(body, random):
    return body[:random.randrange(len(body) + 1)]


def insert(body, random):
    at = random.randrange(len(body) + 1)
    some = random.choice((b"\0", b"\xff", b'"', b"{", b"]", b",", b"\\", b"\r\n", b" " * 100000,
                          bytes(random.randrange(256) for _ in range(64))))
    return body[:at] + some + body[at:]


def splice(body, random):
    one, two = sorted(random.randrange(len(body) + 1) for _ in range(2))
    return random.choice((body[:one] + body[two:], body[:two] + body[one:]))[:SIZE_LIMIT]


def bad_utf8(body, random):
    at = random.randrange(len(body) + 1)
    return body[:at] + random.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf")) + body[at:]


def replace(body, random):
    return random.choice((
        b"", b"null", b"[]", b"{}", b'""', b"0", b"true", b" ", b"\n", b"\0", b"<html><body>502</body></html>",
        b'{"result":null}', b'{"result":[]}', b'{"result":{}}', b'{"result":[null]}', b'{"result":[[]]}',
        b'{"result":"x"}', b'{"result":[1,2,3]}', b'{"status":"x"}', b'{"error":{}}', b'{"error":null}',
        b'{"error":"' + b"e" * 100000 + b'"}', b'{"error":"\xff\xfe"}', b"\xef\xbb\xbf{}", b"{}{}",
        b"[" * 1000000, b'{"a":' * 200000, bytes(random.randrange(256) for _ in range(4096)),
        b"{}" + b" " * (1 << 20), b"{}," * (1 << 20)))


def surround(body, random):
    return random.choice((b"\xef\xbb\xbf" + body, body + b"x", body + body, b")]}'\n" + body, b" " * 99999 + body,
                          body + b"\0", b"\0" + body, body + b"\n" * 99999, body.upper(), body[::-1]))


BYTE_MUTATIONS = [flip, flip, cut, insert, splice, bad_utf8, replace, surround]


def mutate_bytes(answer, random):
    mutation = random.choice(BYTE_MUTATIONS)
    answer.body = mutation(answer.body, random)
    return mutation.__name__


# ---- Lines of text: metrics, certificates

WORDS = [
    b"", b"#", b"# HELP", b"# HELP x", b"# TYPE x gauge", b"# TYPE x", b"# TYPE x y z", b"# EOF", b"# UNIT x y",
    b"x", b"x 1", b"x{} 1", b"x{a=\"b\"} 1", b"x{a=\"b\",a=\"c\"} 1", b"x{a=\"\\q\"} 1", b"x{a=\"b} 1", b"x{a=b} 1",
    b"x{a} 1", b"x{,} 1", b"x NaN", b"x +Inf", b"x 1e999", b"x 0x1p3", b"x 1 2 3", b"x 1 99999999999999999999",
    b"x 1 -9223372036854775808", b"x 1 # {a=\"b\"} 1", b"{\"x\"} 1", b"x{a=\"\xff\"} 1", b"x{a=\"\0\"} 1", b"\0",
    b"x" * 100000 + b" 1", b"x{" + b"a=\"b\"," * 20000 + b"} 1", b"x{a=\"" + b"b" * 200000 + b"\"} 1", b"x\t1", b"\r",
    b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"x 1" + b" " * 100000,
]


def mutate_lines(answer, random):
    lines = answer.body.split(b"\n")
    for _ in range(random.choice((1, 1, 3, 30))):
        i = random.randrange(len(lines)) if lines else 0
        act = random.randrange(6)
        if act == 0:
            lines.insert(i, random.choice(WORDS))
        elif act == 1 and lines:
            lines[i] = random.choice(WORDS)
        elif act == 2 and lines:
            lines[i] = flip(lines[i], random)
        elif act == 3 and lines:
            lines[i:i + 1] = [lines[i]] * random.choice((0, 2, 5000))
        elif act == 4 and lines:
            lines[i] = cut(lines[i], random)
        elif lines:
            lines[i] = lines[i].rsplit(b" ", 1)[0] + b" " + random.choice(
                (b"NaN", b"-Inf", b"1e400", b"", b"1_0", b"0x1", b"--1", b"9" * 500, b"1e-400", b"\xff"))
    answer.body = b"\n".join(lines)[:SIZE_LIMIT]
    return "lines"


# ---- Framing

def set_header(answer, name, value):
    answer.headers = [(n, v) for n, v in answer.headers if n.lower() != name.lower()]
    answer.headers.append((name, value))


def encode(answer, random):
    """A compressed body: right, cut, flipped, with something behind it, or a bomb."""
    body = answer.body
    kind = random.randrange(10)
    if kind == 0:
        body += b" " * random.choice((1 << 20, 24 << 20, 80 << 20))
    packed = random.choice((
        gzip.compress(body, 1, mtime=0), zlib.compress(body, 1), zlib.compress(body, 1)[2:-4]))
    if kind == 1:
        packed = cut(packed, random)
    elif kind == 2:
        packed = flip(packed, random)
    elif kind == 3:
        packed += random.choice((b"x", packed, b"\0" * 5000))
    elif kind == 4:
        packed = packed[:-random.randrange(1, 9)]
    elif kind == 5:
        packed = b"\x1f\x8b\x08" + bytes(random.randrange(256) for _ in range(200))
    elif kind == 6:
        packed = gzip.compress(packed, 1, mtime=0)
    elif kind == 7:
        packed = answer.body
    label = random.choice((b"gzip", b"gzip", b"gzip", b"deflate", b"x-gzip", b"br", b"zstd", b"gzip, gzip",
                           b"identity", b"nonsense", b""))
    answer.body = packed
    set_header(answer, b"Content-Encoding", label)
    return "encode"


def chunk(answer, random):
    body = answer.body
    sizes = []
    out = []
    while body:
        size = min(len(body), random.choice((1, 10, 1000, 65536, 1 << 20)))
        if len(sizes) > 200:
            size = len(body)
        sizes.append(size)
        out.append(b"%x\r\n%s\r\n" % (size, body[:size]))
        body = body[size:]
    out.append(b"0\r\n\r\n")
    kind = random.randrange(11)
    i = random.randrange(len(out))
    if kind == 1:
        out = out[:i]
    elif kind == 2:
        out[i] = random.choice((b"zz\r\n", b"-5\r\nhello\r\n", b"ffffffffffffffff\r\n", b"10000000000000000\r\n",
                                b"5\nhello\n", b"\r\n", b"5 \r\nhello\r\n", b"0x5\r\nhello\r\n"))
    elif kind == 3:
        out[i] = out[i].replace(b"\r\n", b";name=\"" + b"v" * random.choice((1, 100000)) + b"\"\r\n", 1)
    elif kind == 4:
        out[-1] = b"0\r\n" + b"".join(b"X-Trailer-%d: v\r\n" % n for n in range(random.choice((1, 5000)))) + b"\r\n"
    elif kind == 5:
        out[-1] = b"0\r\n"
    elif kind == 6:
        out[i] = cut(out[i], random)
    elif kind == 7:
        out[i] = flip(out[i], random)
    answer.chunks = b"".join(out)
    answer.close = kind in (1, 5, 6, 7) or random.randrange(3) == 0
    return "chunk"


def lie_about_length(answer, random):
    size = len(answer.body)
    answer.length = random.choice((b"%d" % (size + random.choice((1, 100, 1 << 20, 1 << 40))), b"%d" % (size // 2), b"0",
                                   b"-1", b"x", b"", b"9" * 30, b"%d, %d" % (size, size + 1), b"+%d" % size,
                                   b"%d\r\nContent-Length: 3" % size, b"0x10"))
    answer.close = True
    return "length"


def close_delimited(answer, random):
    answer.delimited = answer.close = True
    return "close-delimited"


def close_early(answer, random):
    answer.raw = random.choice((
        b"", b"H", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"\r\n\r\n", b"\0" * 100, b"HTTP/1.1 200 OK\n\n{}"))
    return "close-early"


def garbage(answer, random):
    answer.raw = random.choice((
        bytes(random.randrange(256) for _ in range(2000)), b"SSH-2.0-x\r\n", b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n", b"HTTP/1.1 -1 OK\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc def\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + b"\x01" * 500, b"HTTP/1.1 200 " + b"O" * 200000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * random.choice((1, 5000))))
    return "garbage"


def slow(answer, random):
    if random.randrange(2):
        answer.delay = 1.5
    else:
        answer.drip = 0.1
    answer.close = True
    return "slow"


# ---- Headers

def flood_headers(answer, random):
    count, size = random.choice(((300, 50), (5000, 20), (20000, 20), (3, 90000), (1, 400000), (1, 2000000)))
    answer.headers += [(b"X-Flood-%d" % i, b"f" * size) for i in range(count)]
    answer.close = random.randrange(2) == 0
    return "header-flood"


def bad_headers(answer, random):
    answer.headers += random.choices((
        (b"X-Null", b"a\0b"), (b"", b"empty"), (b"No Colon Here", b"x"), (b"X-Bytes", b"\xff\xfe\x80"), (b" X-Folded", b"y"),
        (b"X-Request-Id", b"\x1b[31mred" + b"q" * 5000), (b"X-Request-Id", b""), (b"x-request-id", b"\xff"),
        (b"Content-Type", b"text/html; charset=\xff"), (b"Content-Type", b""), (b"Content-Type", b"application/json"),
        (b"Content-Type", b"a" * 50000), (b"Set-Cookie", b"a=b; domain=localhost"), (b"Location", b"file:///etc/passwd"),
        (b"Date", b"never"), (b"Connection", b"close, keep-alive, upgrade"), (b"Upgrade", b"h2c"), (b"Alt-Svc", b'h2=":1"'),
        (b"Transfer-Encoding", b"identity, chunked, gzip"), (b"Trailer", b"Content-Length"), (b"Keep-Alive", b"timeout=-1"),
        (b"Content-Range", b"bytes 0-1/2"), (b"X-RateLimit-Reset", b"1e3x"), (b"X-RateLimit-Reset", b"-5"),
        (b"X-RateLimit-Limit", b"99999999999999999999"), (b"X-RateLimit-Remaining", b"NaN"), (b"Retry-After", b"soon"),
        (b"Retry-After", b"99999999999"), (b"X-RateLimit-Policy", b'"x";q=0;w=0')), k=random.choice((1, 3, 10)))
    answer.close = random.randrange(2) == 0
    return "bad-headers"


def status(answer, random):
    code = random.choice((
        b"100", b"101", b"199", b"201", b"204", b"205", b"206", b"300", b"301", b"302", b"304", b"307", b"308", b"400",
        b"401", b"403", b"404", b"405", b"406", b"408", b"409", b"410", b"413", b"418", b"422", b"425", b"451", b"499",
        b"500", b"501", b"502", b"503", b"504", b"511", b"599", b"600", b"999"))
    answer.status_line = random.choice((b"HTTP/1.1 ", b"HTTP/1.1 ", b"HTTP/1.0 ")) + code + random.choice((b" Status", b"", b" \xff"))
    answer.close = True
    if random.randrange(2):
        answer.headers.append((b"Location", random.choice((b"/v1/organizations", b"http://127.0.0.1:1/", b"\xff", b""))))
    return "status"


FRAMES = [encode] * 4 + [chunk] * 4 + [
    lie_about_length, lie_about_length, close_delimited, close_early, garbage, flood_headers, bad_headers,
    bad_headers, status, status]


def mutate(answer, random):
    done = []
    choice = random.random()
    is_json = b"json" in answer.content_type

    if choice < 0.75:
        if is_json and random.random() < 0.75:
            done.append(mutate_tree(answer, random))
        elif not is_json and random.random() < 0.6:
            done.append(mutate_lines(answer, random))
        else:
            done.append(mutate_bytes(answer, random))
    if choice > 0.6:
        done.append(random.choice(FRAMES)(answer, random))
    if random.random() < 0.01:
        done.append(slow(answer, random))
    return done
