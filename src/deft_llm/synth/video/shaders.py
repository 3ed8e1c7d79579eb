# ruff: noqa: E501
"""GLSL of the renderer: skin, eyeballs, lashes, hair strands, backdrop, and the passes that store truth."""

from __future__ import annotations

COMMON = """#version 330
uniform mat4 projection; uniform mat4 view; uniform mat3 turn;
"""

LIGHTING = """
uniform vec3 light_direction[3]; uniform vec3 light_colour[3]; uniform vec3 sky; uniform vec3 ground;
uniform float exposure;
vec3 finish(vec3 c){ c*=exposure; c=c/(1.0+0.12*c); return sqrt(clamp(c,0.0,1.0)); }
"""

SKIN_VERTEX = (
    COMMON
    + """
in vec3 p; in vec3 n; in float furrow; in vec2 uv; in vec3 rest; in vec4 mask; in vec4 light;
out vec3 vp; out vec3 vn; out float vf; out vec2 vuv; out vec3 vrest; out vec4 vmask; out vec4 vlight;
void main(){ vec4 q=view*vec4(p,1.0); gl_Position=projection*q; vp=q.xyz; vn=turn*n; vf=furrow; vuv=uv; vrest=rest;
 vmask=mask; vlight=light; }
"""
)

SKIN_FRAGMENT = (
    "#version 330\n"
    + LIGHTING
    + """
in vec3 vp; in vec3 vn; in float vf; in vec2 vuv; in vec3 vrest; in vec4 vmask; in vec4 vlight; out vec4 c;
uniform sampler2D albedo; uniform sampler2D bump; uniform vec3 hair; uniform vec3 cloth; uniform float collar;
uniform float bump_gain; uniform float bald; uniform vec3 mean_skin;
float hash(vec2 q){ return fract(sin(dot(q,vec2(12.9898,78.233)))*43758.5453); }
void main(){
 vec3 N=normalize(vn); vec3 V=normalize(-vp); vec4 t=texture(albedo,vuv); vec4 b=texture(bump,vuv)*2.0-1.0;
 vec2 slope=b.rg*bump_gain+b.ba*vf*1.5;
 vec3 T=normalize(vec3(N.z,0.0,-N.x)); vec3 B=cross(N,T);
 vec3 D=normalize(N-(T*slope.x+B*slope.y));
 vec3 base=t.rgb*t.rgb; float gloss=t.a; float flesh=1.0;
 float inside=smoothstep(0.35,0.9,vmask.y)*(1.0-step(1.5,vmask.y));
 base=mix(base,vec3(0.22,0.045,0.04),inside); gloss=mix(gloss,0.5,inside);
 if(vmask.y>1.5){ float gum=max(smoothstep(6.575,6.545,vrest.y),smoothstep(6.68,6.71,vrest.y));
  float between=smoothstep(0.84,1.0,2.0*abs(fract(vrest.x/0.054+0.5)-0.5))*(1.0-gum);
  base=mix(vec3(0.62,0.57,0.47)*(1.0-0.5*between),vec3(0.40,0.13,0.12),gum); gloss=0.7; D=N; }
 base=mix(base,vec3(0.60,0.30,0.26)*mean_skin*2.0,0.55*vmask.z); gloss=mix(gloss,0.9,vmask.z);
 base=mix(base,base*vec3(1.05,0.82,0.80),vmask.w*0.5);
 float cap=smoothstep(0.25,0.85,vmask.x)*0.95*(1.0-bald*smoothstep(7.6,8.0,vrest.y)); base=mix(base,hair*hair*0.42,cap); gloss*=1.0-0.85*cap;
 float neckline=collar-0.55*exp(-vrest.x*vrest.x*3.5)+0.12*(vrest.z-0.5);
 float dressed=smoothstep(neckline+0.006,neckline-0.006,vrest.y);
 if(dressed>0.0){ float knit=0.92+0.08*sin(vrest.x*420.0)*sin(vrest.y*420.0);
  float rib=smoothstep(neckline-0.10,neckline-0.085,vrest.y);
  base=mix(base,cloth*cloth*knit*(1.0-0.18*rib),dressed); gloss*=1.0-dressed; D=normalize(mix(D,N,dressed)); flesh=1.0-dressed; }
 float hollow=vf*length(b.ba);
 float occluded=vmask.y>1.5?max(vlight.x,0.38):vlight.x; vec3 ao=mix(vec3(occluded),vec3(sqrt(occluded),occluded,occluded*occluded),vec3(0.55,1.0,0.15));
 ao*=1.0-0.30*hollow*vec3(0.75,1.0,1.0);
 vec3 wrap=vec3(0.34,0.12,0.06)*flesh; vec3 inverse=1.0/(1.0+wrap); vec3 colour=vec3(0.0); float shine=0.0; vec3 glint=vec3(0.0);
 vec3 S=normalize(mix(N,D,0.45)); vec3 M=normalize(mix(N,D,0.85));
 for(int i=0;i<3;i++){ vec3 L=light_direction[i]; float shadow=vmask.y>1.5?max(vlight[1+i],0.5):vlight[1+i];
  vec3 NL=vec3(dot(S,L),dot(M,L),dot(D,L));
  vec3 diffuse=clamp((NL+wrap)*inverse,0.0,1.0);
  vec3 s=mix(vec3(shadow),vec3(sqrt(shadow)),vec3(0.8,0.12,0.0)*flesh);
  colour+=light_colour[i]*diffuse*s;
  if(i<2){ vec3 H=normalize(L+V); float nh=max(dot(D,H),0.0); float g=1.0-max(dot(H,V),0.0); float g2=g*g;
   float n4=nh*nh*nh*nh; float n16=n4*n4*n4*n4; float n48=n16*n16*n16;
   glint+=light_colour[i]*(shadow*(0.88*n16+2.25*n48)*(0.03+0.97*g2*g2*g)*max(NL.b,0.0)); } }
 colour+=mix(ground,sky,0.5+0.5*D.y)*ao;
 float r1=1.0-max(dot(N,V),0.0); float rim=r1*r1*r1*0.10*flesh;
 colour=base*colour*(1.0+rim)+glint*(1.6*gloss*ao.g);
 c=vec4(finish(colour),1.0);
}
"""
)

BARE_VERTEX = (
    COMMON
    + """
in vec3 p; in vec3 n; in float furrow; in vec2 uv; in vec3 tint; in vec3 paint; in vec2 sheen; in vec4 light; in vec4 root;
out vec3 vn; out vec3 vfuv; out vec3 vtint; out vec3 vpaint; out vec2 vsheen; out vec4 vlight; out vec4 vroot;
void main(){ gl_Position=projection*(view*vec4(p,1.0)); vn=turn*n; vfuv=vec3(furrow,uv); vtint=tint; vpaint=paint; vsheen=sheen;
 vlight=light; vroot=root; }
"""
)

# Nine tenths of the picture: no clothes, no teeth, the eye's direction and the highlights' half-way vectors taken as
# those of the picture's centre, what varies slowly computed at the vertices (assets and lighting fill it in).
BARE_FRAGMENT = (
    "#version 330\n"
    + LIGHTING
    + """
in vec3 vn; in vec3 vfuv; in vec3 vtint; in vec3 vpaint; in vec2 vsheen; in vec4 vlight; in vec4 vroot; out vec4 c;
uniform sampler2D albedo; uniform sampler2D bump; uniform vec3 halfway[2]; uniform vec3 glare[2];
void main(){
 vec3 N=normalize(vn); vec4 t=texture(albedo,vfuv.yz); vec4 b=texture(bump,vfuv.yz)*2.0-1.0;
 vec2 fold=b.ba*vfuv.x; vec2 slope=b.rg+fold*1.5;
 vec2 T=vec2(N.z,-N.x)*inversesqrt(N.x*N.x+N.z*N.z+1e-6);
 vec3 B=vec3(N.y*T.y,N.z*T.x-N.x*T.y,-N.y*T.x);
 vec3 D=normalize(N-vec3(T.x,0.0,T.y)*slope.x-B*slope.y);
 vec3 base=t.rgb*t.rgb*vtint+vpaint; float gloss=t.a*vsheen.x+vsheen.y;
 float hollow=length(fold); float o=vlight.x;
 vec3 ao=vec3(o+0.55*(vroot.x-o),o,o*(0.85+0.15*o))*(1.0-hollow*vec3(0.225,0.30,0.30));
 const vec3 wrap=vec3(0.34,0.12,0.06); const vec3 inverse=1.0/(1.0+wrap);
 vec3 colour=(0.5*(sky+ground)+(0.5*D.y)*(sky-ground))*ao; vec3 glint=vec3(0.0);
 for(int i=0;i<3;i++){ vec3 L=light_direction[i]; float shadow=vlight[1+i]; float nl=dot(N,L); float dl=dot(D,L);
  vec3 diffuse=clamp((nl+(dl-nl)*vec3(0.45,0.85,1.0)+wrap)*inverse,0.0,1.0);
  colour+=light_colour[i]*diffuse*(shadow+(vroot[1+i]-shadow)*vec3(0.8,0.12,0.0));
  if(i<2){ float n=max(dot(D,halfway[i]),0.0); float n2=n*n; float n4=n2*n2; float n8=n4*n4; float n16=n8*n8;
   glint+=glare[i]*(shadow*max(dl,0.0)*n16*(0.88+2.25*n16*n16)); } }
 float r=1.0-max(N.z,0.0);
 c=vec4(finish(base*colour*(1.0+0.10*r*r*r)+glint*(1.6*gloss*ao.g)),1.0);
}
"""
)

EYE_VERTEX = (
    COMMON
    + """
in vec3 p; in vec3 direction; in vec3 axis; in vec4 light; out vec3 vp; out vec3 vn; out vec3 vd; out vec4 vlight;
void main(){ vec4 q=view*vec4(p,1.0); gl_Position=projection*q; vp=q.xyz; vn=turn*axis; vd=direction; vlight=light; }
"""
)

EYE_FRAGMENT = (
    "#version 330\n"
    + LIGHTING
    + """
in vec3 vp; in vec3 vn; in vec3 vd; in vec4 vlight; out vec4 c; uniform vec3 iris; uniform float pupil; uniform float redness;
float hash(float q){ return fract(sin(q*91.3458)*47453.5453); }
float noise(float q){ float i=floor(q); float f=fract(q); f=f*f*(3.0-2.0*f); return mix(hash(i),hash(i+1.0),f); }
void main(){
 vec3 d=normalize(vd); vec3 N=normalize(vn); vec3 V=normalize(-vp);
 float r=length(d.xy)/0.40; if(d.z<0.0) r=9.0; float a=atan(d.y,d.x);
 float fibre=0.65*noise(a*18.0+40.0)+0.35*noise(a*47.0+9.0+r*3.0);
 vec3 col=iris*iris*(0.42+0.75*fibre)*(1.0-0.35*smoothstep(0.45,0.95,r)+0.30*smoothstep(0.62,0.42,r));
 col=mix(col,vec3(0.012),smoothstep(pupil+0.03,pupil-0.03,r));
 col*=1.0-0.65*smoothstep(0.80,1.0,r);
 float veins=noise(a*9.0+r*1.2)*noise(a*31.0+5.0);
 vec3 sclera=vec3(0.56,0.525,0.50)*(1.0-vec3(0.02,0.30,0.30)*redness*smoothstep(1.1,2.4,r)*(0.5+veins));
 col=mix(col,sclera,smoothstep(0.93,1.08,r));
 float edge=vlight.x; vec3 ao=pow(vec3(edge),vec3(1.0,1.2,1.25)); vec3 sum=mix(ground,sky,0.5+0.5*N.y)*ao; vec3 shine=vec3(0.0);
 vec3 bulged=normalize(N+(r<1.25?(1.25-r)*0.30:0.0)*vec3(N.xy-turned_centre(),0.0));
 for(int i=0;i<3;i++){ vec3 L=light_direction[i]; float s=vlight[1+i];
  sum+=light_colour[i]*clamp((dot(N,L)+0.25)/1.25,0.0,1.0)*s*0.95;
  vec3 H=normalize(L+V); float nh=max(dot(bulged,H),0.0);
  shine+=light_colour[i]*(0.25+0.75*s)*(2.2*smoothstep(0.9945,0.9975,nh)+0.12*pow(nh,40.0)); }
 c=vec4(finish(col*sum*0.92+shine*0.42),1.0);
}
"""
).replace("vec3(N.xy-turned_centre(),0.0)", "vec3(d.xy,0.0)")

LASH_VERTEX = (
    COMMON
    + """
in vec3 p; in vec2 st; out vec2 vst;
void main(){ gl_Position=projection*(view*vec4(p,1.0)); gl_Position.z-=0.0006*gl_Position.w; vst=st; }
"""
)

LASH_FRAGMENT = """#version 330
in vec2 vst; out vec4 c; uniform vec3 colour; uniform float strength;
float hash(float q){ return fract(sin(q*91.3458)*47453.5453); }
void main(){
 float lane=vst.x*34.0+vst.y*2.2; float cell=floor(lane); float f=abs(fract(lane)-0.5)*2.0;
 float length_=0.55+0.45*hash(cell); float w=mix(0.75,0.18,vst.y/length_);
 float stroke=(1.0-smoothstep(w-0.25,w+0.25,f))*(1.0-smoothstep(length_-0.15,length_,vst.y));
 float root=1.0-smoothstep(0.06,0.24,vst.y);
 c=vec4(colour,clamp(max(stroke*0.85,root*0.9),0.0,1.0)*strength);
}
"""

HAIR_VERTEX = (
    COMMON
    + """
uniform float exposure; in vec3 p; in vec3 along; in vec2 strand; in vec3 lit; out vec3 colour;
void main(){ vec4 q=view*vec4(p,1.0); vec3 s=normalize(cross(turn*along,-q.xyz));
 q.xyz+=s*(strand.x*strand.y); gl_Position=projection*q;
 vec3 l=lit*exposure; colour=sqrt(clamp(l/(1.0+0.12*l),0.0,1.0)); }
"""
)

HAIR_FRAGMENT = """#version 330
in vec3 colour; out vec4 c; void main(){ c=vec4(colour,1.0); }
"""

BACKDROP_VERTEX = """#version 330
in vec2 corner; out vec2 at; void main(){ at=corner*0.5+0.5; gl_Position=vec4(corner,0.9999,1.0); }
"""
BACKDROP_FRAGMENT = """#version 330
in vec2 at; out vec4 c; uniform sampler2D picture; uniform float exposure;
void main(){ vec3 b=texture(picture,at).rgb; b=b*b*exposure; b=b/(1.0+0.12*b); c=vec4(sqrt(clamp(b,0.0,1.0)),1.0); }
"""

TRUTH_VERTEX = """#version 330
in vec4 here; in vec4 value; out vec4 vv; void main(){ gl_Position=here; vv=value; }
"""
TRUTH_FRAGMENT = """#version 330
in vec4 vv; out vec4 c; void main(){ c=vv; }
"""

DEPTH_VERTEX = """#version 330
in vec3 p; uniform mat4 m; void main(){ gl_Position=m*vec4(p,1.0); }
"""
DEPTH_FRAGMENT = """#version 330
void main(){ }
"""

NUMBER_VERTEX = (
    COMMON
    + """
in vec3 p; in vec3 along; in vec2 strand;
void main(){ vec4 q=view*vec4(p,1.0);
 if(strand.y>0.0){ vec3 T=normalize(turn*along); q.xyz+=normalize(cross(T,normalize(-q.xyz)))*strand.x*strand.y; }
 gl_Position=projection*q; }
"""
)
NUMBER_FRAGMENT = """#version 330
uniform int base; out vec4 c;
void main(){ int n=base*(gl_PrimitiveID+1); c=vec4(float(n&255),float((n>>8)&255),float((n>>16)&255),255.0)/255.0; }
"""

# Glasses, hands, masks: colour and gloss at the vertices; lenses are drawn last, mostly see-through.
PROP_VERTEX = (
    COMMON
    + """
in vec3 p; in vec3 n; in vec4 tone; in float gloss; out vec3 vp; out vec3 vn; out vec4 vtone; out float vgloss;
void main(){ vec4 q=view*vec4(p,1.0); gl_Position=projection*q; vp=q.xyz; vn=turn*n; vtone=tone; vgloss=gloss; }
"""
)
PROP_FRAGMENT = (
    "#version 330\n"
    + LIGHTING
    + """
in vec3 vp; in vec3 vn; in vec4 vtone; in float vgloss; out vec4 c; uniform float flesh; uniform vec2 window;
void main(){
 vec3 N=normalize(vn); vec3 V=normalize(-vp); if(dot(N,V)<0.0&&flesh<0.5) N=-N;
 vec3 wrap=vec3(0.30,0.14,0.08)*flesh; vec3 sum=mix(ground,sky,0.5+0.5*N.y)*(flesh>0.5?0.85:1.0); vec3 shine=vec3(0.0);
 for(int i=0;i<3;i++){ vec3 L=light_direction[i]; sum+=light_colour[i]*clamp((dot(N,L)+wrap)/(1.0+wrap),0.0,1.0);
  vec3 H=normalize(L+V); float nh=max(dot(N,H),0.0); shine+=light_colour[i]*(0.05*pow(nh,18.0)+0.35*pow(nh,90.0))*vgloss; }
 float alpha=vtone.a;
 if(vgloss>1.5){ vec3 R=reflect(-V,N); float fresnel=0.04+0.96*pow(1.0-max(dot(N,V),0.0),5.0);
  vec2 at=R.xy-window; float pane=smoothstep(0.13,0.10,abs(at.x))*smoothstep(0.20,0.16,abs(at.y))*smoothstep(0.008,0.02,abs(at.x));
  shine=0.3*shine+sky*fresnel*0.9+vec3(0.55)*pane*sky; sum*=alpha; alpha=clamp(alpha+0.35*max(shine.r,max(shine.g,shine.b)),0.0,1.0);
  c=vec4(finish(vtone.rgb*sum+shine),alpha); return; }
 c=vec4(finish(vtone.rgb*sum+shine),alpha);
}
"""
)

BEARD_VERTEX = HAIR_VERTEX.replace("in vec3 lit;", "in vec3 lit; in vec3 shift;").replace(
    "vec4(p,1.0)", "vec4(p+shift,1.0)"
)
