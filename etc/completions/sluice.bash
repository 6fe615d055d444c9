# bash completion for sluice's tools. Made by t/lib/completions from their --help: do not edit.

_sluice()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local options offer=() value=

	COMPREPLY=()
	# bash splits --name=value at the sign.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case ${COMP_WORDS[0]##*/} in
	jsonl-sink)
		options='-m --mode -w --write -z --compress -j --threads -i --interval --size -N --name
			-p --path --root -r --keep-rejects --reject-path -a --ack --trust-eof
			--allow-gap --recreated --timeout -Q --positions --check --repair -q --quiet -v
			--verbose -h --help -V --version'
		offer=(-d)
		case $prev in
		-m | --mode)
			offer=(-W 'append overwrite ignore') value=1
			;;
		-w | --write)
			offer=(-W 'record payload flat') value=1
			;;
		-z | --compress | -j | --threads | -i | --interval | --size | -N | --name | -p \
			| --path | --root | --reject-path | --timeout)
			return
			;;
		esac
		;;
	kmock)
		options='-t --topics -p --partitions -n --brokers -x --exec -q --quiet -v --verbose -h
			--help -V --version'
		case $prev in
		-t | --topics | -p | --partitions | -n | --brokers | -x | --exec)
			return
			;;
		esac
		;;
	kread)
		options='-t --topic -p --partition -o --offset -e --exit -c --count --from -N --name
			--skip-lost --marks --exact -s --window -b --brokers -F --config -X --set -m
			--timeout -q --quiet -v --verbose -h --help -V --version'
		case $prev in
		-o | --offset)
			offer=(-W 'beginning end s@ e@') value=1
			;;
		-s)
			offer=(-W 'key=text key=json key=int key=bigint key=double key=base64') value=1
			;;
		key)
			offer=(-W 'text json int bigint double base64') value=1
			;;
		--window)
			offer=(-W 'time: session') value=1
			;;
		--from | -F | --config)
			offer=(-f) value=1
			;;
		-t | --topic | -p | --partition | -c | --count | -N | --name | -b | --brokers \
			| -X | --set | -m | --timeout)
			return
			;;
		esac
		;;
	kwrite)
		options='-b --brokers -F --config -X --set -t --topic -k --key --keep-partition -z
			--compress -a --ack -m --timeout -q --quiet -v --verbose -h --help -V --version'
		case $prev in
		-F | --config)
			offer=(-f) value=1
			;;
		-b | --brokers | -X | --set | -t | --topic | -k | --key | -z | --compress | -m \
			| --timeout)
			return
			;;
		esac
		;;
	lakecat)
		options='-t --topic -N --name --marks -q --quiet -v --verbose -h --help -V --version'
		offer=(-d)
		case $prev in
		-t | --topic | -N | --name)
			return
			;;
		esac
		;;
	mysql-upsert)
		options='--defaults-file -h --host -P --port -S --socket -u --user -D --database
			--timeout -T --table -k --key -M --mapping -r --keep-rejects -i --interval
			--rows --buffer --no-reduce --partial -N --name -a --ack -Q --positions -n
			--dry-run --rejects --replay --force --any-unique --allow-gap --recreated -q
			--quiet -v --verbose -? --help -V --version'
		case $prev in
		--defaults-file | -S | --socket | -M | --mapping)
			offer=(-f) value=1
			;;
		-h | --host | -P | --port | -u | --user | -D | --database | --timeout | -T \
			| --table | -k | --key | -i | --interval | --rows | --buffer | -N | --name)
			return
			;;
		esac
		;;
	partition)
		options='-l --layout -t --time -f --format -Z --zone -q --quiet -v --verbose -h --help -V
			--version'
		case $prev in
		-l | --layout)
			offer=(-W 'hive hive-hour date table') value=1
			;;
		-t | --time | -f | --format | -Z | --zone)
			return
			;;
		esac
		;;
	txgen)
		options='-c --count -S --seed -R --records -t --topic -p --partitions --marks --bad
			--size --start --days --users --first --tombstones -q --quiet -v --verbose -h
			--help -V --version'
		offer=(-W 'transactions sales reference blacklist user-totals type-totals windows')
		case $prev in
		-c | --count | -S | --seed | -t | --topic | -p | --partitions | --bad | --size \
			| --start | --days | --users | --first | --tombstones)
			return
			;;
		esac
		;;
	esac
	if [[ $cur == -* && ! $value ]]; then
		offer=(-W "$options")
	fi
	[[ ${#offer[@]} == 0 ]] || mapfile -t COMPREPLY < <(compgen "${offer[@]}" -- "$cur")
}

complete -o filenames -F _sluice jsonl-sink kmock kread kwrite lakecat mysql-upsert partition txgen
