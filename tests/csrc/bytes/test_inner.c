/* The name inside a tunnel: HTTP/1 heads by the sentence, HTTP/2 frame by frame, and first messages of other protocols.
 * Hellos are test_inner_hello.c. */
#include "inner_fixture.h"

#include "test_inner_first.h"
#include "test_inner_http.h"
#include "test_inner_http2.h"

int main(void)
{
    RUN(requests_with_a_name);
    RUN(requests_without_a_name);
    RUN(requests_that_are_malformed);
    RUN(what_is_not_http);
    RUN(every_method_is_a_token);
    RUN(first_messages);
    RUN(a_word_without_an_end);
    RUN(what_has_ended);
    RUN(http2_requests);
    RUN(http2_frames_around_the_request);
    RUN(http2_that_is_malformed);
    RUN(http2_blocks_by_the_library);
    RUN(http2_beyond_the_limit);
    return CHECK_REPORT();
}
