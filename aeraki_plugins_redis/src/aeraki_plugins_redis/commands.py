"""The commands that a fault can apply to.

Source: Envoy 1.40.0, asked command by command with a fault of 100 percent for all of them. The
table leaves out commands that Envoy answers itself (AUTH, CLIENT, ECHO, HELLO, PING, QUIT, TIME)
and commands that it refuses, such as SUBSCRIBE and BLPOP.
"""

from __future__ import annotations

__all__ = ["FAULTY"]

_NAMES = """
append bf.add bf.card bf.exists bf.info bf.insert bf.loadchunk bf.madd bf.mexists bf.reserve
bf.scandump bitcount bitfield bitfield_ro bitop bitpos cluster config copy decr decrby del discard
dump eval evalsha exec exists expire expireat flushall flushdb geoadd geodist geohash geopos
georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch geosearchstore get getbit
getdel getex getrange getset hdel hexists hexpire hexpireat hexpiretime hget hgetall hincrby
hincrbyfloat hkeys hlen hmget hmset hpersist hpexpire hpexpireat hpexpiretime hpttl hrandfield hscan
hset hsetnx hstrlen httl hvals incr incrby incrbyfloat info info.shard keys lindex linsert llen
lmove lpop lpos lpush lpushx lrange lrem lset ltrim mget mset msetnx multi object persist pexpire
pexpireat pfadd pfcount pfmerge psetex pttl publish randomkey rename renamenx restore role rpop
rpoplpush rpush rpushx sadd scan scard script sdiff sdiffstore select set setbit setex setnx
setrange sinter sinterstore sismember slowlog smembers smismember smove sort sort_ro spop
srandmember srem sscan strlen substr sunion sunionstore touch ttl type unlink unwatch watch xack
xadd xautoclaim xclaim xdel xlen xpending xrange xrevrange xtrim zadd zcard zcount zdiff zdiffstore
zincrby zinter zinterstore zlexcount zmscore zpopmax zpopmin zrandmember zrange zrangebylex
zrangebyscore zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange
zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion zunionstore
"""

FAULTY = frozenset(_NAMES.split())
