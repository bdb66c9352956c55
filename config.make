# nginx's ./configure reads this file when it writes objs/Makefile: how the library of config is made.

cat << END >> $NGX_MAKEFILE

# Whether anything has changed is found out each time.
intermission_always:

$ngx_intermission_library:	intermission_always
	+@CC='$CC' CARGO='$ngx_intermission_cargo' CARGO_BUILD_TARGET='$CARGO_BUILD_TARGET' \\
		$ngx_intermission_dir/auto/library . $NGX_OBJS

$NGX_OBJS/ngx_http_intermission_module.so:	$ngx_intermission_library

END
