"""nginx: a reverse proxy to one fixed origin, kept-alive connections, one worker, no log, nothing on disk."""

from pathlib import Path

from bench.peers.base import Peer, find, tunnels_most
from bench.peers.certificates import certificates

CONFIGURATION = """\
daemon off;
worker_processes 1;
error_log stderr error;
pid {folder}/nginx.pid;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_max_temp_file_size 0;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    proxy_ssl_trusted_certificate {authority};
    proxy_ssl_verify on;
    proxy_ssl_name localhost;
    proxy_ssl_server_name on;
    proxy_ssl_protocols TLSv1.3;
    grpc_ssl_trusted_certificate {authority};
    grpc_ssl_verify on;
    grpc_ssl_name localhost;
    grpc_ssl_server_name on;
    grpc_ssl_protocols TLSv1.3;
    upstream clear {{ server 127.0.0.1:{web.port}; keepalive 256; keepalive_requests 1000000000; }}
    upstream secure {{ server 127.0.0.1:{web.tls}; keepalive 256; keepalive_requests 1000000000; }}
    upstream calls {{ server 127.0.0.1:{web.tls_http2}; keepalive 256; keepalive_requests 1000000000; }}
    server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://clear; }} }}
    server {{ listen 127.0.0.1:{doors[get]} backlog=4096; location / {{ proxy_pass http://clear; }} }}
    server {{ listen 127.0.0.1:{doors[get-h2]} http2; location / {{ proxy_pass http://clear; }} }}
    server {{ listen 127.0.0.1:{doors[get-tls]}; location / {{ proxy_pass https://secure; }} }}
    server {{ listen 127.0.0.1:{doors[unary]} http2; location / {{ grpc_pass grpcs://calls; }} }}
}}
"""


class Nginx(Peer):
    name = "nginx"
    title = "nginx"
    ways = ("get", "get-h2", "get-tls", "unary")
    package = "nginx"

    @classmethod
    def binary(cls) -> Path:
        return find("usr/sbin/nginx")

    def command(self) -> list[str]:
        self.folder.chmod(0o755)  # its worker becomes `nobody` when started by root
        file = self.folder / "nginx.conf"
        text = CONFIGURATION.format(
            port=self.port, folder=self.folder, files=2 * tunnels_most() + 500, doors=self.doors, web=self.web,
            authority=certificates().authority,
        )  # fmt: skip
        file.write_text(text)
        return [str(self.binary()), "-p", str(self.folder), "-c", str(file)]
